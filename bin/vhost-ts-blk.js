#!/usr/bin/env node
// A discovery file of libvirt's names one program without arguments.
import { main } from '../dist/src/cli/main.js';

await main(['blk', ...process.argv.slice(2)]);
