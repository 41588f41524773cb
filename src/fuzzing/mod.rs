//! What bytes of strangers must never do to us: one function per door that they come in by.
//!
//! The rooms keep their parsers to themselves; each has a file `fuzz.rs` that says what has to hold
//! for any bytes. Here they are put together, for the fuzzer (`fuzz/`, with coverage) and for a
//! bounded run in the ordinary tests. Compiled for those two alone.

mod registry;
#[cfg(test)]
mod tests;

/// Panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its folder in `fuzz/seeds/`.
pub const TARGETS: [(&str, Target); 14] = [
    ("command_output", crate::cli::fuzz::shown),
    ("console_input", crate::console::fuzz::input),
    ("control", crate::control::fuzz::connection),
    ("environment_file", crate::runtime::fuzz::environment_file),
    ("event_log", crate::events::fuzz::log),
    ("history", crate::history::fuzz::segment),
    ("holds", crate::runtime::fuzz::holds),
    ("journal", crate::runtime::fuzz::journal),
    ("log_files", crate::logs::fuzz::files),
    ("log_index", crate::logs::fuzz::index),
    ("notify", crate::probes::fuzz::datagram),
    ("registry", registry::parse),
    ("sanitizer", crate::console::fuzz::sanitizer),
    ("updates", crate::client::fuzz::updates),
];

/// Runs one target; for the fuzzer.
///
/// # Panics
///
/// Where there is no such target, and where something does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("the name of a target").1(bytes);
}

/// Cuts for a run over pieces: they follow from the bytes, so that the fuzzer finds them again.
pub(crate) fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let mut random = fastrand::Rng::with_seed(u64::from(crc32fast::hash(bytes)));
    std::iter::repeat_with(move || random.usize(1..24))
}
