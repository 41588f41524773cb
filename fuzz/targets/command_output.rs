#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| s7supervisor::fuzzing::run("command_output", bytes));
