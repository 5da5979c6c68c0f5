#!/usr/bin/env node
// The `shoal` command: what a person types.
import './polyfill.ts'
