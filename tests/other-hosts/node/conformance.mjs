// Checks a policy's answers against the conformance vectors, bit by bit, under Node.
//
// `node conformance.mjs policy.wasm vectors/ wit/` exits with 0 if all answers match, with 1 after differences (at most
// 20 are shown), with 2 if there is nothing to compare.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isLosslessNumber, parse, stringify } from "lossless-json";
import { readContract } from "./contract.mjs";
import { load } from "./embed.mjs";

const SHOWN = 20;
/** Integers that are a `number` in JavaScript, and those that are a `bigint`. */
const SMALL_INTEGERS = ["u8", "u16", "u32", "s32"];
const LARGE_INTEGERS = ["u64", "s64"];

/** A value in a vector or from the binding has another type than the contract. */
class Unfit extends Error {}

const vectorName = (witName) => witName.replaceAll("-", "_");
const hostName = (witName) => witName.replace(/-(.)/g, (_, letter) => letter.toUpperCase());

/** Text of a vector's number, which must fit the type: `1.0` is an `f64`, `1` is not. */
function numeral(type, value) {
  const fractional = isLosslessNumber(value) && /[.eE]/.test(value.value);
  if (!isLosslessNumber(value) || fractional !== (type.kind === "f64")) throw new Unfit(`${stringify(value)} is no ${type.kind}`);
  return value.value;
}

function record(type, value) {
  const known = new Set(type.fields.map(([name]) => vectorName(name)));
  const unknown = Object.keys(value).filter((key) => !known.has(key));
  if (unknown.length > 0) throw new Unfit(`the record has no ${unknown.join(", ")}`);
  return Object.fromEntries(type.fields.map(([name, field]) => [hostName(name), toHost(field, value[vectorName(name)])]));
}

/** A variant's case and payload in a vector: `"case"` or `{"case": payload}`. */
function variant(type, value) {
  const [name, payload] = typeof value === "string" ? [value, undefined] : Object.entries(value)[0];
  const found = type.cases.find(([called]) => vectorName(called) === name);
  if (!found || (found[1] === null) !== (payload === undefined)) throw new Unfit(`${stringify(value)} is no case of the variant`);
  return found[1] === null ? { tag: found[0] } : { tag: found[0], val: toHost(found[1], payload) };
}

/** A vector's value as the binding takes it. An absent option stays absent, an absent list is empty. */
function toHost(type, value) {
  if (type.kind === "list" && value === undefined) return toHost(type, []);
  if (type.kind === "option") return value === undefined || value === null ? undefined : toHost(type.element, value);
  if (type.kind === "list" && type.element.kind === "u8") return Uint8Array.from(value, (byte) => toHost(type.element, byte));
  if (type.kind === "list") return value.map((item) => toHost(type.element, item));
  if (type.kind === "record") return record(type, value);
  if (type.kind === "variant") return variant(type, value);
  if (type.kind === "enum") return type.cases.find((name) => vectorName(name) === value) ?? unfit(type, value);
  if (LARGE_INTEGERS.includes(type.kind)) return BigInt(numeral(type, value));
  if (type.kind === "f64" || SMALL_INTEGERS.includes(type.kind)) return Number(numeral(type, value));
  return typeof value === (type.kind === "bool" ? "boolean" : "string") ? value : unfit(type, value);
}

function unfit(type, value) {
  throw new Unfit(`${stringify(value)} is no ${type.kind}`);
}

/** First difference of the binding's answer from the vector, as [path, expected, found]; `null` if all bits match. */
function difference(path, type, expected, found) {
  const differs = [path, stringify(expected), shown(found)];
  const first = (pairs) => pairs.reduce((earlier, pair) => earlier ?? difference(...pair), null);
  if (type.kind === "option") {
    if (expected === null || found === undefined) return expected === null && found === undefined ? null : differs;
    return difference(path, type.element, expected, found);
  }
  if (type.kind === "list") {
    const fits = type.element.kind === "u8" ? found instanceof Uint8Array : Array.isArray(found);
    if (!fits || !Array.isArray(expected) || expected.length !== found.length) return differs;
    return first(expected.map((item, index) => [`${path}[${index}]`, type.element, item, found[index]]));
  }
  if (type.kind === "record") {
    const names = type.fields.map(([name]) => name);
    if (!sameNames(Object.keys(expected), names.map(vectorName)) || !sameNames(Object.keys(found), names.map(hostName))) return differs;
    return first(type.fields.map(([name, field]) => [`${path}.${vectorName(name)}`, field, expected[vectorName(name)], found[hostName(name)]]));
  }
  if (type.kind === "variant") {
    const { tag } = variant(type, expected);
    const payload = type.cases.find(([name]) => name === tag)[1];
    if (found.tag !== tag) return differs;
    return payload && difference(`${path}.${vectorName(tag)}`, payload, expected[vectorName(tag)], found.val);
  }
  return sameBits(toHost(type, expected), found) ? null : [path, stringify(expected) + inBits(type, toHost(type, expected)), shown(found) + inBits(type, found)];
}

function sameNames(left, right) {
  return left.length === right.length && left.every((name) => right.includes(name));
}

// `Object.is` distinguishes 0 from -0. It equates all NaNs, but JSON has none.
function sameBits(expected, found) {
  return Object.is(expected, found);
}

function inBits(type, value) {
  if (type.kind !== "f64" || typeof value !== "number") return "";
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return ` (bits 0x${view.getBigUint64(0).toString(16).padStart(16, "0")})`;
}

function shown(value) {
  return Object.is(value, -0) ? "-0.0" : stringify(value) ?? "nothing";
}

/** The difference from one vector's answer; `null` if it matches. */
function disagreement(policy, contract, vector) {
  try {
    const called = vector.function.replaceAll("_", "-");
    const signature = contract.get(called) ?? unfit({ kind: "function of the contract" }, called);
    const names = signature.parameters.map(([name]) => vectorName(name));
    if (!sameNames(Object.keys(vector.arguments), names)) throw new Unfit(`its parameters are ${names.join(", ")}`);
    const given = signature.parameters.map(([name, type]) => toHost(type, vector.arguments[vectorName(name)]));
    const [face, name] = called.split(".").map(hostName);
    const differs = difference("answer", signature.result, vector.answer, policy[face][name](...given));
    return differs && `${differs[0]}: expected ${differs[1]}, found ${differs[2]}`;
  } catch (error) {
    return `answer: expected ${stringify(vector.answer)}, found no answer: ${error.message}`;
  }
}

async function main(component, vectors, wit) {
  const files = (await readdir(vectors)).filter((name) => name.endsWith(".jsonl")).sort();
  const texts = await Promise.all(files.map((name) => readFile(join(vectors, name), "utf8")));
  const lines = texts.flatMap((text) => text.split("\n")).filter((line) => line !== "");
  if (lines.length === 0) {
    console.error(`${vectors} holds no vectors; guest/conformance/vectors does`);
    return 2;
  }
  const [policy, contract] = [await load(component), await readContract(wit)];
  let wrong = 0;
  for (const vector of lines.map((line) => parse(line))) {
    const problem = disagreement(policy, contract, vector);
    if (problem === null) continue;
    wrong += 1;
    if (wrong <= SHOWN) console.log(`${vector.function}, "${vector.name}": ${problem}`);
  }
  if (wrong > SHOWN) console.log(`… and ${wrong - SHOWN} more`);
  console.log(`${lines.length} questions, ${lines.length - wrong} answers equal`);
  return wrong > 0 ? 1 : 0;
}

if (process.argv.length !== 5) {
  console.error("usage: node conformance.mjs POLICY.WASM FOLDER_OF_VECTORS FOLDER_OF_WIT");
  process.exitCode = 2;
} else {
  process.exitCode = await main(...process.argv.slice(2));
}
