//! Our own memory: how little of it stays when there is nothing to do.

#![expect(
    unsafe_code,
    reason = "system calls and functions of the C library without a safe wrapper"
)]

use std::{ffi::c_void, fs};

/// One heap for all threads; to be called before there are others.
///
/// glibc gives each thread a heap of its own. Ours hand over what they allocate (orders,
/// newborns, logs), so each heap would keep pages for what another thread has yet to free.
pub fn use_one_heap() {
    // SAFETY: sets a number; a C library that refuses goes on as before.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Gives pages back that were needed for a burst of work: those of the heap that are free, and
/// those of the program that were read from its file. What is needed again is mapped again by a
/// fault that reads no disk, sixteen pages at a time.
///
/// Takes some milliseconds with a thousand components, so it belongs where it may block.
pub fn give_back() {
    // SAFETY: the allocator's own business; it holds its locks meanwhile.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
    // Breakpoints are changes of pages that the file does not have.
    if !is_traced() {
        // SAFETY: the callback is of the type that is asked for, and takes no data.
        unsafe { libc::dl_iterate_phdr(Some(unmap_file_pages), std::ptr::null_mut()) };
    }
}

fn is_traced() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_none_or(|pid| pid.trim() != "0")
}

/// Takes the program, which is told of first, and asks for no other object.
unsafe extern "C" fn unmap_file_pages(
    program: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> i32 {
    // SAFETY: the C library passes a valid description, and as many headers as it says.
    let (base, headers) = unsafe {
        let program = &*program;
        let count = usize::from(program.dlpi_phnum);
        (program.dlpi_addr, std::slice::from_raw_parts(program.dlpi_phdr, count))
    };
    let page = rustix::param::page_size();
    let address = |offset: u64| usize::try_from(base + offset).unwrap_or_default();
    // What is never written to is as it stands in the file. A segment that is written to has
    // relocated addresses in it, even where it is read-only by now.
    let read_only = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    for header in headers.iter().filter(read_only) {
        let from = address(header.p_vaddr) & !(page - 1);
        let to = address(header.p_vaddr + header.p_filesz).next_multiple_of(page);
        // SAFETY: whole pages of a mapping of the program's file that nobody can have changed.
        unsafe { libc::madvise(from as *mut c_void, to - from, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_goes_on_without_its_pages() {
        let table: Vec<u64> = (0..1_000).collect();
        super::give_back();
        assert_eq!(table.iter().sum::<u64>(), 499_500);
    }
}
