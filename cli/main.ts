#!/usr/bin/env node
// The `shoal` command: what a person types.
import { flushStandardStreams } from './output.ts'
import { main } from './program.ts'

const code = await main(process.argv, process.env)
await flushStandardStreams()
// Said outright: a library's forgotten handle must not keep a finished command alive.
process.exit(code)
