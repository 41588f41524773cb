//! Who holds a TCP port: asked only when it could not be bound.

use std::{fs, path::Path};

/// The pid of a process that listens at this port of the loopback or of every address, as far
/// as we may see it.
pub(super) fn of_port(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| inode_in(&fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path().join("fd"), &wanted).then_some(pid)
    })
}

fn holds(descriptors: &Path, wanted: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(descriptors) else { return false };
    descriptors
        .filter_map(Result::ok)
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| target.as_os_str() == wanted)
}

/// The inode of the listening socket, from the kernel's table: local address in the second
/// field, state in the fourth (0A: listening), inode in the tenth.
fn inode_in(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_address, hex) = fields.get(1)?.rsplit_once(':')?;
        let ours = u16::from_str_radix(hex, 16) == Ok(port) && fields.get(3) == Some(&"0A");
        ours.then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(of_port(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(of_port(port), None);
    }
}
