//! Parses a component into its tree of sections, changes it, and encodes it with correct sizes.

use super::change_bytes;
use crate::dice::Dice;

/// Four bytes of magic, then version and layer.
const PREAMBLE: usize = 8;
const MAGIC: &[u8] = b"\0asm";
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// A component or core module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    preamble: [u8; PREAMBLE],
    sections: Vec<Section>,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    id: u8,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Bytes(Vec<u8>),
    Nested(Tree),
}

impl Tree {
    /// Parses bytes; `None` unless all are sections.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (preamble, mut rest) = bytes.split_first_chunk::<PREAMBLE>()?;
        let is_component = preamble[6] != 0;
        if !preamble.starts_with(MAGIC) {
            return None;
        }
        let mut sections = Vec::new();
        while let Some((&id, after)) = rest.split_first() {
            let (size, after) = read_size(after)?;
            let (body, after) = after.split_at_checked(size)?;
            let nests = is_component && matches!(id, MODULE | COMPONENT);
            let nested = if nests { Self::parse(body) } else { None };
            sections.push(Section { id, body: nested.map_or_else(|| Body::Bytes(body.to_vec()), Body::Nested) });
            rest = after;
        }
        Some(Self { preamble: *preamble, sections })
    }

    /// Encodes the tree.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.preamble.to_vec();
        for section in &self.sections {
            bytes.push(section.id);
            let body = section.body.encode();
            write_size(&mut bytes, body.len() as u64);
            bytes.extend(body);
        }
        bytes
    }

    /// Changes one place in the tree, perhaps with a part of `other`.
    pub fn change(&mut self, other: Option<&Self>, dice: &mut Dice) {
        let length = self.sections.len();
        if length == 0 {
            return;
        }
        let at = dice.below(length);
        if let Body::Nested(nested) = &mut self.sections[at].body
            && dice.chance(70)
        {
            return nested.change(other, dice);
        }
        match dice.below(7) {
            0 => drop(self.sections.remove(at)),
            1 => self.sections.insert(at, self.sections[at].clone()),
            2 => self.sections.swap(at, dice.below(length)),
            3 => self.sections[at].id = dice.byte() & 0x0f,
            4 => {
                if let Some(section) = other.and_then(|other| other.any(dice)) {
                    self.sections.insert(at, section);
                }
            }
            _ => {
                let mut body = self.sections[at].body.encode();
                let copy = body.clone();
                change_bytes(&mut body, &copy, dice);
                self.sections[at].body = Body::Bytes(body);
            }
        }
    }

    fn any(&self, dice: &mut Dice) -> Option<Section> {
        let section = self.sections.get(dice.below(self.sections.len()))?;
        match &section.body {
            Body::Nested(nested) if dice.chance(60) => nested.any(dice),
            _ => Some(section.clone()),
        }
    }

    /// All variants that lack one section.
    pub fn without_one(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for (at, section) in self.sections.iter().enumerate() {
            let mut copy = self.clone();
            copy.sections.remove(at);
            all.push(copy);
            if let Body::Nested(nested) = &section.body {
                all.extend(nested.without_one().into_iter().map(|nested| {
                    let mut copy = self.clone();
                    copy.sections[at].body = Body::Nested(nested);
                    copy
                }));
            }
        }
        all
    }
}

impl Body {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Nested(tree) => tree.encode(),
        }
    }
}

/// Offsets of section sizes and of the counts at the begin of most bodies.
pub fn borders(bytes: &[u8]) -> Vec<usize> {
    fn walk(bytes: &[u8], from: usize, to: usize, borders: &mut Vec<usize>) {
        let is_component = bytes.get(from + 6).is_some_and(|layer| *layer != 0);
        let mut at = from + PREAMBLE;
        while at < to {
            let id = bytes[at];
            let Some((size, rest)) = bytes.get(at + 1..to).and_then(read_size) else { return };
            let body = to - rest.len();
            borders.extend([at, at + 1, body]);
            let end = body.saturating_add(size);
            if end > to {
                return;
            }
            if is_component && matches!(id, MODULE | COMPONENT) && bytes[body..end].starts_with(MAGIC) {
                walk(bytes, body, end, borders);
            }
            at = end;
        }
    }
    let mut borders = Vec::new();
    walk(bytes, 0, bytes.len(), &mut borders);
    borders.retain(|at| *at < bytes.len());
    borders
}

fn read_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut size = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(size).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

/// Writes an unsigned LEB128.
pub fn write_size(bytes: &mut Vec<u8>, mut size: u64) {
    while size >= 0x80 {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_component_survives_parsing_and_encoding() {
        for seed in crate::corpus::Corpus::read().expect("the corpus can be read").components {
            let Some(tree) = Tree::parse(&seed.bytes).filter(|tree| !tree.sections.is_empty()) else { continue };
            let bytes = tree.encode();
            assert_eq!(Tree::parse(&bytes), Some(tree), "{}", seed.name);
            assert!(borders(&bytes).len() > 2, "{}", seed.name);
        }
    }
}
