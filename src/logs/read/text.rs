//! The text of a log file, plain or compressed, from any place on.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::read::{GzDecoder, MultiGzDecoder};

use super::super::gzip::{self, HEAD};

/// Bytes that are unpacked at once to get over them.
const SKIP: usize = 8 << 10;

pub(super) enum Text {
    Plain(File),
    Packed(Packed),
}

pub(super) struct Packed {
    file: File,
    /// Empty: a file of somebody else, which can only be read from its beginning.
    members: Vec<Member>,
    open: Option<Open>,
}

struct Member {
    /// In the file.
    begin: u64,
    /// In the text.
    text: u64,
    length: u64,
}

struct Open {
    decoder: Box<dyn Read + Send>,
    /// In the text.
    offset: u64,
    end: u64,
}

impl Text {
    pub fn open(path: &Path, packed: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        if packed {
            let members = members(&file)?;
            Ok(Self::Packed(Packed { file, members, open: None }))
        } else {
            Ok(Self::Plain(file))
        }
    }

    /// A descriptor of the file.
    pub fn file(&self) -> io::Result<File> {
        match self {
            Self::Plain(file) | Self::Packed(Packed { file, .. }) => file.try_clone(),
        }
    }

    /// How long it is; for a compressed file of somebody else what its last bytes say.
    pub fn length(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Packed(packed) => packed.length(),
        }
    }

    /// Reads from `offset` on; 0 at the end.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => read_plain(file, offset, buffer),
            Self::Packed(packed) => packed.read_at(offset, buffer),
        }
    }
}

impl Packed {
    fn length(&self) -> io::Result<u64> {
        if let Some(last) = self.members.last() {
            return Ok(last.text + last.length);
        }
        let mut size = [0; 4];
        let end = self.file.metadata()?.len();
        read_plain(&self.file, end.saturating_sub(4), &mut size)?;
        Ok(u64::from(u32::from_le_bytes(size)))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let usable = |open: &Open| open.offset <= offset && offset < open.end;
        if !self.open.as_ref().is_some_and(usable) {
            match self.enter(offset)? {
                Some(open) => self.open = Some(open),
                None => return Ok(0),
            }
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        let mut skipped = [0; SKIP];
        while open.offset < offset {
            let left = usize::try_from(offset - open.offset).unwrap_or(SKIP).min(SKIP);
            match open.decoder.read(&mut skipped[..left])? {
                0 => return Ok(0),
                count => open.offset += count as u64,
            }
        }
        let count = open.decoder.read(buffer)?;
        open.offset += count as u64;
        Ok(count)
    }

    /// Where `offset` is found soonest; `None` behind the end.
    fn enter(&mut self, offset: u64) -> io::Result<Option<Open>> {
        if self.members.is_empty() {
            self.file.seek(SeekFrom::Start(0))?;
            let decoder = Box::new(MultiGzDecoder::new(BufReader::new(self.file.try_clone()?)));
            return Ok(Some(Open { decoder, offset: 0, end: u64::MAX }));
        }
        let index = self.members.partition_point(|member| member.text + member.length <= offset);
        let Some(member) = self.members.get(index) else { return Ok(None) };
        self.file.seek(SeekFrom::Start(member.begin))?;
        let decoder = Box::new(GzDecoder::new(BufReader::new(self.file.try_clone()?)));
        Ok(Some(Open { decoder, offset: member.text, end: member.text + member.length }))
    }
}

fn members(file: &File) -> io::Result<Vec<Member>> {
    let end = file.metadata()?.len();
    let mut members = Vec::new();
    let (mut begin, mut text) = (0, 0);
    while begin < end {
        let mut head = [0; HEAD];
        let whole = read_plain(file, begin, &mut head)? == HEAD;
        let Some(lengths) = gzip::lengths(&head).filter(|_| whole) else {
            // Ours and something behind it: as it is read by everybody else.
            return Ok(Vec::new());
        };
        let length = u64::from(lengths.text);
        members.push(Member { begin, text, length });
        begin += u64::from(lengths.packed);
        text += length;
    }
    Ok(members)
}

#[cfg(unix)]
fn read_plain(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(not(unix))]
fn read_plain(mut file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    file.read(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_text_from_any_place_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let text: Vec<u8> =
            (0..60_000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let ours: Vec<u8> =
            text.chunks(100_000).flat_map(|part| gzip::member(part).expect("packed")).collect();
        let foreign = {
            use std::io::Write as _;
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&text).expect("packed");
            encoder.finish().expect("packed")
        };
        for (name, bytes, packed) in
            [("plain", &text, false), ("ours", &ours, true), ("foreign", &foreign, true)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            let mut opened = Text::open(&path, packed).expect("it opens");
            assert_eq!(opened.length().expect("a length"), text.len() as u64, "{name}");
            // Back and forth, over the borders of members, and behind the end.
            for offset in [0, 99_990, 5, 350_001, 350_100, text.len() - 3, 100_000] {
                let mut buffer = [0; 40];
                let mut got = Vec::new();
                while got.len() < 40 {
                    let at = (offset + got.len()) as u64;
                    match opened.read_at(at, &mut buffer).expect("it can be read") {
                        0 => break,
                        count => got.extend_from_slice(&buffer[..count]),
                    }
                }
                got.truncate(40);
                let end = (offset + 40).min(text.len());
                assert_eq!(got, &text[offset..end], "{name} at {offset}");
            }
            assert_eq!(opened.read_at(1 << 30, &mut [0; 4]).expect("the end"), 0, "{name}");
        }
    }
}
