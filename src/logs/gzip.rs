//! Compressed files that can be entered in the middle.
//!
//! A gzip file may have several members one after the other; every tool reads them as one text.
//! Ours hold about [`MEMBER`] bytes of text each and say in their headers (RFC 1952, "extra
//! field", as BGZF does) how long they are, so that a reader jumps from member to member and
//! unpacks only what it wants.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};

/// Text of one member. Larger ones compress hardly better.
pub(super) const MEMBER: usize = 1 << 20;

/// Bytes of a member until its data begins.
pub(super) const HEAD: usize = 24;

const ID: [u8; 2] = *b"S7";

/// How long a member is in the file, and how long its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub packed: u32,
    pub text: u32,
}

/// A member with this text.
pub(super) fn member(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut extra = Vec::with_capacity(12);
    extra.extend_from_slice(&ID);
    extra.extend_from_slice(&8_u16.to_le_bytes());
    extra.extend_from_slice(&[0; 8]);
    let mut encoder = GzBuilder::new()
        .extra(extra)
        .write(Vec::with_capacity(text.len() / 4), Compression::default());
    encoder.write_all(text)?;
    let mut packed = encoder.finish()?;
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let lengths = [packed.len(), text.len()].map(|length| u32::try_from(length).map_err(too_long));
    let [packed_length, text_length] = lengths;
    packed[HEAD - 8..HEAD - 4].copy_from_slice(&packed_length?.to_le_bytes());
    packed[HEAD - 4..HEAD].copy_from_slice(&text_length?.to_le_bytes());
    Ok(packed)
}

/// What the head of a member says, when it is one of ours.
pub(super) fn lengths(head: &[u8; HEAD]) -> Option<Lengths> {
    let [0x1f, 0x8b, 8, 4, _, _, _, _, _, _, 12, 0, i0, i1, 8, 0, rest @ ..] = *head else {
        return None;
    };
    let [p0, p1, p2, p3, t0, t1, t2, t3] = rest;
    let packed = u32::from_le_bytes([p0, p1, p2, p3]);
    let text = u32::from_le_bytes([t0, t1, t2, t3]);
    ([i0, i1] == ID && packed as usize > HEAD).then_some(Lengths { packed, text })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::*;

    #[test]
    fn members_are_one_text_and_say_their_lengths() {
        let texts = [b"one\n".repeat(1_000), b"two\n".repeat(7), Vec::new()];
        let mut file = Vec::new();
        for text in &texts {
            let member = member(text).expect("packed");
            let head = member.first_chunk::<HEAD>().expect("a head");
            let lengths = lengths(head).expect("one of ours");
            let told = (lengths.packed as usize, lengths.text as usize);
            assert_eq!(told, (member.len(), text.len()));
            file.extend(member);
        }
        let mut read = Vec::new();
        MultiGzDecoder::new(file.as_slice()).read_to_end(&mut read).expect("a gzip file");
        assert_eq!(read, texts.concat());
        assert_eq!(lengths(&[0x1f; HEAD]), None);
    }
}
