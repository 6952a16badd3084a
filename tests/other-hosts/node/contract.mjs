// Reads the types of the contract from `wit/`: JavaScript has fewer kinds of numbers, so the contract's type decides how a
// value is written and compared. Reads the part of WIT that the contract uses, and refuses the rest.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const PRIMITIVES = ["bool", "string", "f64", "u8", "u16", "u32", "u64", "s32", "s64"];

/** Every function by `interface.function`: `{ parameters: [[name, type]], result: type }`, with all names resolved. */
export async function readContract(folder) {
  const scopes = new Map();
  for (const file of await readdir(folder)) {
    if (!file.endsWith(".wit")) continue;
    const text = (await readFile(join(folder, file), "utf8")).replace(/\/\/.*$/gm, "");
    const [, name, body] = /\binterface ([\w-]+) \{(.*)\}/s.exec(text) ?? [];
    if (name) scopes.set(name, readInterface(body.match(/->|%?[\w-]+|[^\s]/g), file));
  }
  const functions = new Map();
  for (const [name, scope] of scopes) {
    for (const [called, { parameters, result }] of scope.functions) {
      functions.set(`${name}.${called}`, {
        parameters: parameters.map(([parameter, type]) => [parameter, resolve(type, scope, scopes)]),
        result: resolve(result, scope, scopes),
      });
    }
  }
  return functions;
}

/** Types and functions of one interface, from the words between its braces. */
function readInterface(words, file) {
  const scope = { types: new Map(), functions: new Map() };
  let at = 0;
  const accept = (word) => words[at] === word && ++at > 0;
  const expect = (word) => {
    if (!accept(word)) throw new Error(`${file}: expected "${word}", found "${words.slice(at, at + 4).join(" ")}"`);
  };
  const name = () => words[at++].replace(/^%/, "");
  const list = (open, close, item) => {
    const items = [];
    expect(open);
    while (!accept(close)) {
      items.push(item());
      if (!accept(",") && words[at] !== close) expect(close);
    }
    return items;
  };
  const type = () => {
    const kind = name();
    return kind === "option" || kind === "list" ? { kind, element: list("<", ">", type)[0] } : { kind };
  };
  const field = () => {
    const called = name();
    expect(":");
    return [called, type()];
  };
  const oneCase = () => [name(), words[at] === "(" ? list("(", ")", type)[0] : null];
  const declarations = {
    record: () => scope.types.set(name(), { kind: "record", fields: list("{", "}", field) }),
    variant: () => scope.types.set(name(), { kind: "variant", cases: list("{", "}", oneCase) }),
    enum: () => scope.types.set(name(), { kind: "enum", cases: list("{", "}", name) }),
    type: () => {
      const called = name();
      expect("=");
      scope.types.set(called, type());
      expect(";");
    },
    use: () => {
      const from = name();
      expect(".");
      for (const used of list("{", "}", name)) scope.types.set(used, { kind: used, from });
      expect(";");
    },
  };
  while (at < words.length) {
    const word = name();
    if (Object.hasOwn(declarations, word)) {
      declarations[word]();
      continue;
    }
    expect(":");
    expect("func");
    const parameters = list("(", ")", field);
    expect("->");
    scope.functions.set(word, { parameters, result: type() });
    expect(";");
  }
  return scope;
}

/** A type with its names resolved. */
function resolve(type, scope, scopes) {
  const within = (inner) => inner && resolve(inner, scope, scopes);
  const { kind } = type;
  if (type.from) return resolve({ kind }, scopes.get(type.from), scopes);
  if (type.fields) return { kind, fields: type.fields.map(([name, inner]) => [name, within(inner)]) };
  if (kind === "variant") return { kind, cases: type.cases.map(([name, inner]) => [name, within(inner)]) };
  if (type.element) return { kind, element: within(type.element) };
  if (type.cases || PRIMITIVES.includes(kind)) return type;
  if (!scope.types.has(kind)) throw new Error(`wit: no type is called ${kind}`);
  return within(scope.types.get(kind));
}
