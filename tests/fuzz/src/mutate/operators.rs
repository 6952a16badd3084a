//! Replaces instructions by others of equal length and types, so that most results are valid.

use crate::dice::Dice;
use crate::nasty::{INTEGERS, WILD};
use wasmparser::{Operator, Parser, Payload};

/// An instruction that can be changed.
#[derive(Clone, Debug)]
pub struct Site {
    at: usize,
    length: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Signed,
    Unsigned,
    Float,
    Twin(&'static [u8]),
    Branch,
}

/// Opcodes of equal length and types.
const TWINS: &[&[u8]] = &[
    // Comparisons: i32, i64, f64.
    &[0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f],
    &[0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a],
    &[0x61, 0x62, 0x63, 0x64, 0x65, 0x66],
    // Arithmetic: i32, i64, f64 with one and two operands.
    &[0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78],
    &[0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a],
    &[0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f],
    &[0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6],
    // Counting bits.
    &[0x45, 0x67, 0x68, 0x69],
    // f64 from i32 and from i64, signed and unsigned.
    &[0xb7, 0xb8],
    &[0xb9, 0xba],
];

/// Instructions of all modules in a component, as far as it parses.
pub fn sites(bytes: &[u8]) -> Vec<Site> {
    let mut sites = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        let Payload::CodeSectionEntry(body) = payload else { continue };
        let Ok(mut reader) = body.get_operators_reader() else { continue };
        while let Ok((operator, at)) = reader.read_with_offset() {
            // Far smaller than an address space.
            let (at, end) = (at as usize, reader.original_position() as usize);
            if let Some(kind) = kind(&operator, bytes[at]) {
                sites.push(Site { at, length: end - at, kind });
            }
        }
    }
    sites
}

fn kind(operator: &Operator<'_>, opcode: u8) -> Option<Kind> {
    match operator {
        Operator::I32Const { .. } | Operator::I64Const { .. } => Some(Kind::Signed),
        Operator::F64Const { .. } => Some(Kind::Float),
        Operator::BrIf { relative_depth: 0..0x80 } => Some(Kind::Branch),
        Operator::Br { .. } | Operator::Call { .. } | Operator::LocalGet { .. } | Operator::LocalSet { .. } | Operator::LocalTee { .. } => {
            Some(Kind::Unsigned)
        }
        // Loads and stores: alignment, then the offset.
        _ if (0x28..=0x3e).contains(&opcode) => Some(Kind::Unsigned),
        _ => TWINS.iter().find(|twins| twins.contains(&opcode)).copied().map(Kind::Twin),
    }
}

/// Changes an instruction, if it is still in its place.
pub fn change(bytes: &mut [u8], sites: &[Site], dice: &mut Dice) {
    let Some(site) = sites.get(dice.below(sites.len())) else { return };
    let Some(instruction) = bytes.get_mut(site.at..site.at + site.length) else { return };
    match site.kind {
        Kind::Twin(twins) => instruction[0] = *dice.pick(twins),
        Kind::Float => instruction[1..].copy_from_slice(&dice.pick(WILD).to_le_bytes()),
        // `drop`, then `nop`.
        Kind::Branch => instruction.copy_from_slice(&[0x1a, 0x01]),
        Kind::Signed => write_padded(&mut instruction[1..], *dice.pick(INTEGERS)),
        Kind::Unsigned => {
            let last = instruction.len() - 1;
            instruction[last] = if dice.chance(80) { (instruction[last] & 0x7f).wrapping_add(1) } else { dice.byte() } & 0x7f;
        }
    }
}

fn write_padded(place: &mut [u8], mut number: u64) {
    let last = place.len() - 1;
    for (index, byte) in place.iter_mut().enumerate() {
        *byte = (number as u8 & 0x7f) | if index < last { 0x80 } else { 0 };
        number >>= 7;
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::corpus::Corpus;
    use upright::policy::PolicyLoader;

    #[test]
    fn most_policies_with_a_changed_instruction_are_still_components() {
        let corpus = Corpus::read().expect("the corpus can be read");
        let built_in = corpus.components.iter().find(|seed| seed.name == "policy.wasm").expect("the policy of the host is in the corpus");
        let sites = sites(&built_in.bytes);
        assert!(sites.len() > 1000, "only {} instructions can be changed", sites.len());
        let compiled = (0..30).filter(|iteration| {
            let mut bytes = built_in.bytes.clone();
            change(&mut bytes, &sites, &mut Dice::of(0, *iteration));
            assert_ne!(bytes.len(), 0);
            PolicyLoader::default().probe(false).from_bytes(&bytes).is_ok()
        });
        let compiled = compiled.count();
        assert!(compiled >= 10, "only {compiled} of 30 are");
    }
}
