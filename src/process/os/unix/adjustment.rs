//! Whether the system's clock is kept right by somebody, as the kernel was told.

#![expect(unsafe_code, reason = "adjtimex, because rustix does not have it")]

/// `None` where the kernel does not tell.
pub fn is_clock_synchronized() -> Option<bool> {
    // SAFETY: a structure of numbers, for which zeroes are valid; no mode bit: nothing is set.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it is writable for its whole length.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    (answer >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers_without_being_root() {
        assert!(is_clock_synchronized().is_some());
    }
}
