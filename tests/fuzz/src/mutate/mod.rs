//! Alters components. Random bytes would fail in the first reader, so most changes keep the format: they move [whole
//! sections](sections) or replace [single instructions](operators). `wasm-mutate` and `wasm-smith` know core modules
//! only.

pub mod operators;
pub mod sections;

use crate::dice::Dice;
use crate::nasty::INTEGERS;
use operators::Site;
use sections::Tree;

/// A starting component, parsed once.
#[derive(Debug)]
pub struct Seed {
    /// File or other name.
    pub name: String,
    /// The component.
    pub bytes: Vec<u8>,
    tree: Option<Tree>,
    sites: Vec<Site>,
}

impl Seed {
    /// Parses a component as far as possible.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let (tree, sites) = (Tree::parse(&bytes), operators::sites(&bytes));
        Self { name: name.into(), bytes, tree, sites }
    }
}

/// Alters one of the seeds.
pub fn component(seeds: &[Seed], dice: &mut Dice) -> Vec<u8> {
    let seed = dice.pick(seeds);
    let mut bytes = seed.bytes.clone();
    match dice.below(10) {
        0..=5 => {
            for _ in 0..=dice.below(4) {
                operators::change(&mut bytes, &seed.sites, dice);
            }
        }
        6..=7 => {
            if let Some(tree) = &seed.tree {
                let mut tree = tree.clone();
                for _ in 0..=dice.below(2) {
                    let other = &dice.pick(seeds).tree;
                    tree.change(other.as_ref(), dice);
                }
                bytes = tree.encode();
            }
        }
        8 => operators::change(&mut bytes, &seed.sites, dice),
        _ => {}
    }
    if dice.chance(25) {
        for _ in 0..=dice.below(3) {
            let other = dice.pick(seeds);
            change_bytes(&mut bytes, &other.bytes, dice);
        }
    }
    bytes
}

pub(crate) fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let part = dice.part(bytes.len(), 64);
    let foreign = dice.part(other.len(), 256);
    match dice.below(9) {
        0 => bytes.truncate(part.start),
        1 => drop(bytes.drain(part)),
        2 => {
            let copy = bytes[part.clone()].to_vec();
            bytes.splice(part.end..part.end, copy);
        }
        3 => drop(bytes.splice(part, other[foreign].iter().copied())),
        4 => bytes[part].fill(*dice.pick(&[0, 0x7f, 0x80, 0xff])),
        5 => {
            let borders = sections::borders(bytes);
            let at = if borders.is_empty() { part.start } else { *dice.pick(&borders) };
            let mut number = Vec::new();
            sections::write_size(&mut number, *dice.pick(INTEGERS));
            number.truncate(5);
            let end = bytes.len().min(at + number.len());
            bytes.splice(at.min(end)..end, number);
        }
        6 => {
            let text = dice.pick(crate::nasty::TEXTS).as_bytes();
            let end = bytes.len().min(part.start + text.len());
            bytes.splice(part.start..end, text.iter().copied());
        }
        _ => {
            if let Some(byte) = bytes.get_mut(part.start) {
                *byte = if dice.chance(50) { *byte ^ (1 << dice.below(8)) } else { dice.byte() };
            }
        }
    }
}
