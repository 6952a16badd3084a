"""Checks a policy's answers against the conformance vectors, bit by bit, under wasmtime for Python.

`python conformance.py policy.wasm vectors/` exits with 0 if all answers match, with 1 after differences (at most 20 are
shown), with 2 if there is nothing to compare. Types come from the component.
"""

import json
import struct
import sys
from pathlib import Path

from wasmtime import WasmtimeError
from wasmtime.component import EnumType, ListType, OptionType, Record, RecordType, U8, Variant, VariantType

from embed import Policy

SHOWN = 20


class Unfit(Exception):
    """A vector's value has another type than the contract."""


def vector_name(wit_name):
    return wit_name.replace("-", "_")


def case_of(type_, value):
    """A variant's case and payload in a vector: `"case"` or `{"case": payload}`."""
    name, payload = (value, None) if isinstance(value, str) else next(iter(value.items()))
    for case, payload_type in type_.cases:
        if vector_name(case) == name and (payload_type is None) == isinstance(value, str):
            return case, payload_type, payload
    raise Unfit(f"{json.dumps(value)} is no case of the variant")


def fields_of(type_, value):
    """A record's fields with their values in a vector; an absent option is `None`, an absent list empty."""
    fields = [(name, field, value.get(vector_name(name), [] if isinstance(field, ListType) else None)) for name, field in type_.fields]
    unknown = value.keys() - {vector_name(name) for name, _, _ in fields}
    if unknown:
        raise Unfit(f"the record has no {', '.join(sorted(unknown))}")
    return fields


def tagged(type_):
    """Whether the binding gives a variant's case: it omits it if the payload's Python type shows it."""
    classes = [payload_class(payload) for _, payload in type_.cases]
    return len(set(classes)) < len(classes)


def payload_class(type_):
    if type_ is None:
        return type(None)
    classes = set()
    type_.add_classes(classes)
    (only,) = classes
    return only


def to_host(type_, value):
    """A vector's value as the binding takes it."""
    if isinstance(type_, RecordType):
        record = Record()
        for name, field, inner in fields_of(type_, value):
            setattr(record, name, to_host(field, inner))
        return record
    if isinstance(type_, OptionType):
        return None if value is None else to_host(type_.payload, value)
    if isinstance(type_, ListType):
        return bytes(value) if isinstance(type_.element, U8) else [to_host(type_.element, item) for item in value]
    if isinstance(type_, EnumType):
        return value.replace("_", "-")
    if isinstance(type_, VariantType):
        case, payload_type, payload = case_of(type_, value)
        host = None if payload_type is None else to_host(payload_type, payload)
        return Variant(case, host) if tagged(type_) else host
    # A number, a boolean or text; the binding refuses one for another.
    return value


def to_vector(type_, value):
    """The binding's answer in a vector's form."""
    if isinstance(type_, RecordType):
        return {vector_name(name): to_vector(field, getattr(value, name)) for name, field in type_.fields}
    if isinstance(type_, OptionType):
        return None if value is None else to_vector(type_.payload, value)
    if isinstance(type_, ListType):
        return [to_vector(type_.element, item) for item in value]
    if isinstance(type_, EnumType):
        return vector_name(value)
    if isinstance(type_, VariantType):
        if tagged(type_):
            case, payload = value.tag, value.payload
            payload_type = dict(type_.cases)[case]
        else:
            payload = value
            case, payload_type = next(pair for pair in type_.cases if payload_class(pair[1]) is type(value))
        return vector_name(case) if payload_type is None else {vector_name(case): to_vector(payload_type, payload)}
    return value


def difference(path, expected, found):
    """First difference of two answers, as (path, expected, found); `None` if all bits match."""
    if type(expected) is not type(found):
        return path, shown(expected), shown(found)
    if isinstance(expected, dict):
        if expected.keys() != found.keys():
            return path, f"the keys {sorted(expected)}", f"the keys {sorted(found)}"
        pairs = [(f"{path}.{key}", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list):
        if len(expected) != len(found):
            return path, shown(expected), shown(found)
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(expected, found))]
    else:
        return None if bits(expected) == bits(found) else (path, shown(expected), shown(found))
    return next(filter(None, (difference(*pair) for pair in pairs)), None)


def bits(value):
    return struct.pack(">d", value) if isinstance(value, float) else value


def shown(value):
    return f"{value!r} (bits 0x{bits(value).hex()})" if isinstance(value, float) else json.dumps(value)


def disagreement(policy, vector):
    """The difference from one vector's answer; `None` if it matches."""
    signature = policy.signature(vector["function"].replace("_", "-"))
    names = {vector_name(name) for name, _ in signature.params}
    try:
        if names != vector["arguments"].keys():
            raise Unfit(f"its parameters are {sorted(names)}")
        arguments = [to_host(type_, vector["arguments"][vector_name(name)]) for name, type_ in signature.params]
        answer = to_vector(signature.result, policy.ask(vector["function"].replace("_", "-"), *arguments))
    except (Unfit, WasmtimeError, TypeError, ValueError) as error:
        return f"answer: expected {json.dumps(vector['answer'])}, found no answer: {error}"
    differs = difference("answer", vector["answer"], answer)
    return differs and "{}: expected {}, found {}".format(*differs)


def main(component, folder):
    lines = [line for path in sorted(Path(folder).glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    if not lines:
        print(f"{folder} holds no vectors; guest/conformance/vectors does", file=sys.stderr)
        return 2
    policy = Policy(component)
    wrong = 0
    for vector in map(json.loads, lines):
        problem = disagreement(policy, vector)
        if problem:
            wrong += 1
            if wrong <= SHOWN:
                print(f"{vector['function']}, \"{vector['name']}\": {problem}")
    if wrong > SHOWN:
        print(f"… and {wrong - SHOWN} more")
    print(f"{len(lines)} questions, {len(lines) - wrong} answers equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python conformance.py POLICY.WASM FOLDER_OF_VECTORS")
    sys.exit(main(*sys.argv[1:]))
