//! After an upgrade the guardian is still of the version before. It does so little that this does
//! no harm, as long as the engines that it starts are of the new one.
//!
//! So an engine that was upgraded to leaves the command line of its like with the guardian, under a
//! name of its own; whoever is forked next executes that, with everything that was kept. Should it
//! not be possible any more, the engine of the old version goes on: better an old one than none.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    guard::Guarded,
    inheritance::{Death, DescriptorStore as _, End, Inheritance, Kept},
    link::Link,
};
use crate::{
    model::{Exit, Moment},
    process,
};

/// Under this the command line is kept.
const NAME: &str = "successor";

/// How engines of this version are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    binary: Vec<u8>,
    arguments: Vec<Vec<u8>>,
}

/// An inheritance on its way through an `exec`. Fields are added, never renamed.
#[derive(Debug, Serialize, Deserialize)]
struct Estate {
    guardian: u32,
    kept: Vec<(String, i32)>,
    ends: Vec<(i32, Option<u64>, Exit)>,
    death: Option<(Exit, Moment)>,
    stopping: bool,
}

impl Successor {
    pub fn new(binary: PathBuf, arguments: &[OsString]) -> Self {
        let bytes = |text: &OsString| text.as_bytes().to_vec();
        Self {
            binary: binary.into_os_string().into_vec(),
            arguments: arguments.iter().map(bytes).collect(),
        }
    }

    /// Leaves it with the guardian.
    pub fn leave(&self, link: &Link) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        link.keep(NAME, process::memory_file("s7supervisor-successor", &text)?.as_fd());
        Ok(())
    }
}

/// In a process that was forked to be the next engine: it executes the successor that was left, if
/// there is one. Returns where there is none, or where it cannot be executed.
pub(super) fn follow(theirs: &OwnedFd, guardian: u32, inheritance: &mut Inheritance) {
    let Some(left) = inheritance.take(NAME) else { return };
    let Err(error) = try_to_follow(left, theirs, guardian, inheritance);
    // Nothing listens yet: it is for whoever reads our standard error.
    let text = format!(
        "s7-guardian: cannot start an engine of the version that was upgraded to: {error}; the \
         version before goes on\n"
    );
    let _nobody_reads = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    process::close_on_exec();
}

fn try_to_follow(
    left: OwnedFd,
    theirs: &OwnedFd,
    guardian: u32,
    inheritance: &Inheritance,
) -> io::Result<std::convert::Infallible> {
    let mut text = Vec::new();
    let mut file = File::from(left);
    // The guardian's copy is read by each engine.
    file.rewind()?;
    file.read_to_end(&mut text)?;
    let Successor { binary, arguments } = serde_json::from_slice(&text)?;
    let Inheritance { kept, ends, death, stopping, .. } = inheritance;
    for one in kept {
        process::leave_open(one.descriptor.as_fd(), true)?;
    }
    let estate = Estate {
        guardian,
        kept: kept.iter().map(|one| (one.name.clone(), one.descriptor.as_raw_fd())).collect(),
        ends: ends.iter().map(|end| (end.pid, end.start_time, end.exit)).collect(),
        death: death.map(|death| (death.exit, death.at)),
        stopping: *stopping,
    };
    let estate = process::memory_file("s7supervisor-estate", &serde_json::to_vec(&estate)?)?;
    process::leave_open(estate.as_fd(), true)?;
    process::leave_open(theirs.as_fd(), true)?;
    let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from_vec).collect();
    arguments.push(format!("--guarded={}", theirs.as_raw_fd()).into());
    arguments.push(format!("--estate={}", estate.as_raw_fd()).into());
    Err(process::execute(&PathBuf::from(OsString::from_vec(binary)), &arguments))
}

/// In the successor: what it was left, with the way to its guardian.
pub fn receive(link: i32, estate: i32) -> io::Result<Guarded> {
    let mut text = Vec::new();
    File::from(process::inherited(estate)?).read_to_end(&mut text)?;
    let Estate { guardian, kept, ends, death, stopping } = serde_json::from_slice(&text)?;
    let mut inheritance = Inheritance { stopping, ..Inheritance::default() };
    for (name, number) in kept {
        inheritance.kept.push(Kept { name, descriptor: process::inherited(number)? });
    }
    let end = |(pid, start_time, exit)| End { pid, start_time, exit };
    inheritance.ends = ends.into_iter().map(end).collect();
    inheritance.death = death.map(|(exit, at)| Death { exit, at });
    process::set_guardian(Some(guardian));
    let link = Arc::new(Link::new(process::inherited(link)?, guardian));
    Ok(Guarded { link, inheritance })
}
