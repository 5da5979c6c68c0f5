#!/usr/bin/env -S node --max-semi-space-size=2
// The `shoal` command: what a person types. V8's young generation is 2 MiB instead of 16, which a daemon fills in time and never gives back.
import '../daemon/polyfill.ts'
import { closeSync } from 'node:fs'
import { isatty } from 'node:tty'
import { flushStandardStreams } from './output.ts'
import { main } from './program.ts'

// At its end Node sets terminals back as they were, and aborts where the window of one is gone.
const terminals = [0, 1, 2].filter(isatty)
process.once('exit', () => {
  for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor)
})

const code = await main(process.argv, process.env)
await flushStandardStreams()
// Said outright: a library's forgotten handle must not keep a finished command alive.
process.exit(code)
