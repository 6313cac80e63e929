//! Installing a system call filter.

use std::io;

/// One instruction of classic BPF (`struct sock_filter`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

#[repr(C)]
struct Program {
    len: u16,
    filter: *const Instruction,
}

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;

/// Puts this thread, and everything it starts from now on, under the filter.
///
/// Needs `CAP_SYS_ADMIN` or `no_new_privs`. The kernel checks the program; a wrong one is `EINVAL`.
pub(crate) fn install(filter: &[Instruction], flags: u32) -> io::Result<()> {
    let len = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = Program {
        len,
        filter: filter.as_ptr(),
    };
    // SAFETY: `program` describes `filter`, which outlives the call; the kernel copies it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
