// Answers with the numbers that JSON does not know.
import { answerOnce } from '../../../daemon/one-shot.ts'

answerOnce(async ({ asked }: { asked: number }) => [asked, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0])
