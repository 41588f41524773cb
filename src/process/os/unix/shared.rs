//! Memory that outlives whoever writes it: the pages of a file.
//!
//! What a process has stored there is there however it ends: a kill takes the process, not the
//! pages. Words come first, each stored at once; bytes after them belong to one owner.
#![expect(unsafe_code, reason = "a mapping has no safe wrapper")]

use std::{
    fs::File,
    io::{self, Read as _},
    ops::{Deref, DerefMut},
    path::Path,
    ptr::NonNull,
    sync::{Arc, atomic::AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags};

/// Bytes of the words.
const HEAD: usize = 4096;

/// A file's pages as memory.
#[derive(Debug)]
pub struct SharedMemory {
    pub words: SharedWords,
    pub bytes: SharedBytes,
}

/// What of such a memory is stored word by word.
#[derive(Debug, Clone)]
pub struct SharedWords(Arc<Mapping>);

/// The rest of it: bytes.
#[derive(Debug)]
pub struct SharedBytes(Arc<Mapping>);

#[derive(Debug)]
struct Mapping {
    address: NonNull<AtomicU64>,
    length: usize,
}

// SAFETY: the mapping is plain memory of this process until it is dropped; its words are atomic,
// and its bytes are reached by way of the one `SharedBytes` alone.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl SharedMemory {
    /// Those of an empty file, which gets so many bytes beside its words, all of them zero.
    pub fn of(file: &File, bytes: usize) -> io::Result<Self> {
        let length = HEAD + bytes;
        // Allocated now: a page that cannot be had later would end us.
        let nothing = rustix::fs::FallocateFlags::empty();
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, nothing, 0, length as u64))?;
        let flags = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses the place; nothing else is there.
        let address =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, flags.0, flags.1, file, 0)? };
        let Some(address) = NonNull::new(address.cast()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let mapping = Arc::new(Mapping { address, length });
        let words = SharedWords(Arc::clone(&mapping));
        Ok(Self { words, bytes: SharedBytes(mapping) })
    }

    /// What somebody has left in one: its words, and its bytes. Read, not mapped: whoever wrote it is
    /// gone.
    pub fn read(path: &Path) -> io::Result<(Vec<u64>, Vec<u8>)> {
        let mut all = Vec::new();
        File::open(path)?.take(16 << 20).read_to_end(&mut all)?;
        let bytes = all.split_off(HEAD.min(all.len()));
        let (words, _) = all.as_chunks::<8>();
        Ok((words.iter().map(|word| u64::from_ne_bytes(*word)).collect(), bytes))
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the first HEAD bytes of the mapping, which lives as long as `self`, is aligned to a
        // page and was zero at first; they are reached as atomic words alone.
        unsafe { std::slice::from_raw_parts(self.0.address.as_ptr(), HEAD / 8) }
    }
}

impl SharedBytes {
    fn place(&self) -> *mut u8 {
        // SAFETY: within the mapping, which is longer than its words.
        unsafe { self.0.address.as_ptr().cast::<u8>().add(HEAD) }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes behind the words, initialised (zero at first), which this value alone
        // reaches in this process; no other process maps them, see `read`.
        unsafe { std::slice::from_raw_parts(self.place(), self.0.length - HEAD) }
    }
}

impl DerefMut for SharedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; `&mut self` makes it the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.place(), self.0.length - HEAD) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody is left who reaches it.
        let _nothing_to_do =
            unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_was_stored_is_there_when_the_mapping_is_not() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let SharedMemory { words, mut bytes } =
            SharedMemory::of(file.as_file(), 10_000).expect("memory");
        assert_eq!((words.len(), bytes.len()), (512, 10_000));
        words[3].store(7, Ordering::Release);
        bytes[9_999] = 5;
        drop((words, bytes));
        let (words, bytes) = SharedMemory::read(file.path()).expect("readable");
        assert_eq!((words[3], words[4]), (7, 0));
        assert_eq!((bytes.len(), bytes[9_998], bytes[9_999]), (10_000, 0, 5));
    }
}
