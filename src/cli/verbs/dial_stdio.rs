//! `dial-stdio`: standard input and output as a connection to the control socket.
//!
//! What `ssh://` runs on the machine of the Supervisor. It hands bytes on and understands none of
//! them, so any client speaks through any version of it. It says nothing about who sits at the
//! other end: for the engine the peer is the user that logged in here, as the kernel vouches.

use crate::cli::{Context, exit::Failure};

#[cfg(unix)]
pub fn perform(context: &Context) -> Result<(), Failure> {
    use std::{
        fs::File,
        io::{self, Read, Write},
        net::Shutdown,
        os::{fd::AsFd as _, unix::net::UnixStream},
        thread,
    };

    /// Each piece at once, as it comes.
    fn hand_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => to.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    let cannot = |error: io::Error| Failure::failed(format!("cannot join the socket: {error}"));
    let socket: UnixStream = crate::client::dial(&context.place.socket())?;
    // The descriptors themselves: std's own writer would hold a piece back until a line ends.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(cannot)?);
    let asking = socket.try_clone().map_err(cannot)?;
    thread::Builder::new()
        .name("ask".to_owned())
        .spawn(move || {
            let _gone_either_way = hand_on(input, &asking);
            // The other side may still be answering.
            let _closed_already = asking.shutdown(Shutdown::Write);
        })
        .map_err(cannot)?;
    match hand_on(&socket, output) {
        // The Supervisor has closed: nothing that is still asked would be heard.
        Ok(()) => Ok(()),
        // Nobody reads any more, or the Supervisor was killed: the other side sees it, too.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(cannot(error)),
    }
}

#[cfg(not(unix))]
pub fn perform(_context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("there is no control socket on this system"))
}
