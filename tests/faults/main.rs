//! Faults at the seams: the real binary, real processes, and system calls that fail.
//!
//! `injector.rs` says how. `seams.rs` holds what each fault must come to, one by one; `sweep.rs` has the
//! calls of a whole scenario fail in turn. What must hold after any fault is in `scenario.rs`.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the harness serves other tests as well")]
mod support;

mod calls;
mod injector;
mod scenario;
mod seams;
mod seccomp;
mod sweep;
