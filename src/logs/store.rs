//! The disk, behind a seam: tests put one in its place that is full.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Opens files to append to.
pub(super) trait Store: Send + Sync {
    /// Opens the file, made with its folders where it does not exist; also gives its length.
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Sink>, u64)>;

    /// So many of the bytes that are to be written are counted as lost instead.
    fn left_out(&self, _bytes: usize) {}
}

/// An open file.
pub(super) trait Sink: Send {
    /// As [`Write::write`]: may write less.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The same for bytes that are none of those that are to be written: they come beside them.
    fn write_beside(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }
}

/// The real one.
pub(super) struct Disk;

impl Store for Disk {
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Sink>, u64)> {
        let file = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                open(path)?
            }
            result => result?,
        };
        let length = file.metadata()?.len();
        Ok((Box::new(file), length))
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Readable for the group, as logs are. Not blocking: a FIFO that somebody put in the
        // log's place must not stop the thread.
        const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;
        options.mode(0o640).custom_flags(FLAGS | libc::O_NOFOLLOW);
        match options.open(path) {
            // What a component writes would go where whoever may write to the folder wants it to.
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                let target = super::os::target_of_our_link(path)?;
                options.custom_flags(FLAGS).open(target)
            }
            result => result,
        }
    }
    #[cfg(not(unix))]
    options.open(path)
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }
}
