#!/usr/bin/env node
// A discovery file of libvirt's names one program without arguments.
import { fileURLToPath } from 'node:url';
import { main } from '../dist/bundle/cli-main.js';

await main(['net', ...process.argv.slice(2)], fileURLToPath(new URL('..', import.meta.url)));
