// The source tree as the style tests see it: every file of src/ parsed, its imports resolved.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** The package, seen from dist/test/style. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export interface ImportOf {
  /** `core/log.ts` for a file of src/, `node:fs` or `zod` for what is not ours. */
  readonly target: string;
  readonly own: boolean;
  readonly typeOnly: boolean;
}

export interface SourceFile {
  /** Below src/: `core/session/session.ts`. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
  readonly imports: readonly ImportOf[];
}

export function sourceFiles(): readonly SourceFile[] {
  const src = join(ROOT, 'src');
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => parse(path, readFileSync(join(src, path), 'utf8')));
}

export function existsInRoot(path: string): boolean {
  return existsSync(join(ROOT, path));
}

export function parse(path: string, text: string): SourceFile {
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  return { path, text, tree, imports: importsOf(path, tree) };
}

/** Calls `visit` for every node of the file. */
export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

export function lineOf(tree: ts.SourceFile, position: number): number {
  return tree.getLineAndCharacterOfPosition(position).line + 1;
}

/** Static and dynamic imports, and `new URL('./x.js', …)`, which is how a module names another one
 *  that runs elsewhere. */
function importsOf(path: string, tree: ts.SourceFile): ImportOf[] {
  const found: ImportOf[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) {
      return;
    }
    const own = specifier.text.startsWith('.');
    const resolved = posix.join(dirname(path), specifier.text).replace(/\.js$/, '.ts');
    found.push({ target: own ? resolved : specifier.text, own, typeOnly });
  };
  walk(tree, (node) => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, isTypeOnly(node.importClause));
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    } else if (ts.isNewExpression(node) && node.expression.getText() === 'URL') {
      const [specifier] = node.arguments ?? [];
      if (specifier !== undefined && /^'\.\/.*\.js'$/.test(specifier.getText())) {
        add(specifier, false);
      }
    }
  });
  return found;
}

/** `import type {…}` and an import whose every name is a type. */
function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined || clause.name !== undefined) {
    return false;
  }
  const { namedBindings, isTypeOnly: whole } = clause;
  return (
    whole ||
    (namedBindings !== undefined &&
      ts.isNamedImports(namedBindings) &&
      namedBindings.elements.every((element) => element.isTypeOnly))
  );
}
