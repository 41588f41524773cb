//! Segments as bytes.
//!
//! ```text
//!   segment  MAGIC record*
//!   record   length: u32, crc32 of the payload: u32, payload
//!   payload  1 at: i64 (ms since 1970), span: varint (ms), entry*      a row
//!            2 at: i64, who, state: u8                                 a change between rows
//!   entry    who, state: u8, [cpu: varint, memory: varint, processes: varint]
//!   who      index: varint; the first time it is the next free one, and the name follows:
//!            length: varint, text
//!   state    its place in the list of states, 127 for "gone"; + 128 where amounts follow
//! ```
//!
//! Numbers are little-endian, varints LEB128. A row's entries are those that differ from the row
//! before it in the same segment.

use super::{Amounts, Figure};
use crate::wire::ComponentState;

/// With the version of the format.
pub const MAGIC: &[u8; 8] = b"s7hist1\n";

const ROW: u8 = 1;
const CHANGE: u8 = 2;
const GONE: u8 = 127;
const HAS_AMOUNTS: u8 = 128;

/// No row is longer: a length beyond it is damage.
const LONGEST: usize = 64 << 20;

/// What is written of one component: its index in the segment, and its name the first time.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub index: u32,
    pub name: Option<&'a str>,
}

/// A record being written.
#[derive(Debug)]
pub struct Record {
    bytes: Vec<u8>,
}

const HEAD: usize = 8;

impl Record {
    pub fn row(at: i64, span: u32) -> Self {
        let mut record = Self::new(ROW, at);
        record.varint(span.into());
        record
    }

    pub fn change(at: i64, who: Who<'_>, state: Option<ComponentState>) -> Self {
        let mut record = Self::new(CHANGE, at);
        record.who(who);
        record.bytes.push(code(state));
        record
    }

    fn new(kind: u8, at: i64) -> Self {
        let mut bytes = vec![0; HEAD];
        bytes.push(kind);
        bytes.extend(at.to_le_bytes());
        Self { bytes }
    }

    pub fn entry(&mut self, who: Who<'_>, figure: Figure) {
        self.who(who);
        let flag = if figure.usage.is_some() { HAS_AMOUNTS } else { 0 };
        self.bytes.push(code(figure.state) | flag);
        if let Some(Amounts { cpu, memory, processes }) = figure.usage {
            self.varint(cpu.into());
            self.varint(memory);
            self.varint(processes.into());
        }
    }

    fn who(&mut self, who: Who<'_>) {
        self.varint(who.index.into());
        if let Some(name) = who.name {
            self.varint(name.len() as u64);
            self.bytes.extend(name.as_bytes());
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.bytes.push(value.to_le_bytes()[0] | 128);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    /// With length and checksum.
    pub fn finish(mut self) -> Vec<u8> {
        let (head, payload) = self.bytes.split_at_mut(HEAD);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        self.bytes
    }
}

/// What is read from a segment, one record after the other.
pub trait Visitor {
    /// A component that was not in this segment before; its index is the number of those before.
    fn named(&mut self, name: &str);
    fn row(&mut self, at: i64, span: u32);
    /// Belongs to the row that came last.
    fn entry(&mut self, index: usize, figure: Figure);
    fn row_ends(&mut self);
    fn change(&mut self, at: i64, index: usize, state: Option<ComponentState>);
}

/// Reads a segment as far as it is whole; how many of its bytes that are.
pub fn read(bytes: &[u8], visitor: &mut impl Visitor) -> usize {
    if !bytes.starts_with(MAGIC) {
        return 0;
    }
    let mut whole = MAGIC.len();
    let mut names = 0;
    while let Some(payload) = payload_at(&bytes[whole..]) {
        if record(payload, &mut names, visitor).is_none() {
            break;
        }
        whole += HEAD + payload.len();
    }
    whole
}

fn payload_at(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > LONGEST {
        return None;
    }
    let payload = rest.get(..length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*sum)).then_some(payload)
}

fn record(payload: &[u8], names: &mut usize, visitor: &mut impl Visitor) -> Option<()> {
    let mut rest = payload;
    let kind = byte(&mut rest)?;
    let (at, tail) = rest.split_first_chunk()?;
    let at = i64::from_le_bytes(*at);
    rest = tail;
    match kind {
        ROW => {
            let span = u32::try_from(varint(&mut rest)?).ok()?;
            visitor.row(at, span);
            while !rest.is_empty() {
                let index = who(&mut rest, names, visitor)?;
                let state = byte(&mut rest)?;
                let usage = if state & HAS_AMOUNTS == 0 {
                    None
                } else {
                    Some(Amounts {
                        cpu: u32::try_from(varint(&mut rest)?).ok()?,
                        memory: varint(&mut rest)?,
                        processes: u32::try_from(varint(&mut rest)?).ok()?,
                    })
                };
                visitor.entry(index, Figure { state: state_of(state & !HAS_AMOUNTS), usage });
            }
            visitor.row_ends();
        }
        CHANGE => {
            let index = who(&mut rest, names, visitor)?;
            visitor.change(at, index, state_of(byte(&mut rest)?));
        }
        // Of a later version that added to this one.
        _ => {}
    }
    Some(())
}

fn who(rest: &mut &[u8], names: &mut usize, visitor: &mut impl Visitor) -> Option<usize> {
    let index = usize::try_from(varint(rest)?).ok()?;
    if index > *names {
        return None;
    }
    if index == *names {
        let length = usize::try_from(varint(rest)?).ok()?;
        let (name, tail) = rest.split_at_checked(length)?;
        *rest = tail;
        visitor.named(std::str::from_utf8(name).ok()?);
        *names += 1;
    }
    Some(index)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, tail) = rest.split_first()?;
    *rest = tail;
    Some(byte)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

fn code(state: Option<ComponentState>) -> u8 {
    let place = state.and_then(|state| ComponentState::ALL.iter().position(|it| *it == state));
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(GONE)
}

/// A state that this version does not know reads as none.
fn state_of(code: u8) -> Option<ComponentState> {
    ComponentState::ALL.get(usize::from(code)).copied()
}
