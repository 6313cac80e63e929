//! Starts a program in the background, whatever this process does with signals.
//!
//! `std::process::Command` hands on the signal mask, and a process that takes its signals through a
//! signalfd has them blocked.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_char, c_int, c_short};

/// Starts a program in a session of its own, with `/dev/null` as its three streams, no environment,
/// no signal blocked or ignored: its pid. The caller reaps it.
pub(crate) fn detached(program: &[String]) -> io::Result<i32> {
    let arguments: Vec<CString> = program
        .iter()
        .map(|argument| CString::new(argument.as_str()))
        .collect::<Result<_, _>>()?;
    let Some(path) = arguments.first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());
    let environment = [ptr::null_mut::<c_char>()];
    let attributes = Attributes::new()?;
    let actions = Actions::new()?;
    let mut pid = 0;
    // SAFETY: the path, the two arrays (each ended by a null pointer) and the strings they point to
    // live until the call returns, as do the attributes and actions, which are initialised.
    check(unsafe {
        libc::posix_spawn(
            &mut pid,
            path.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            argv.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(pid)
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: it writes a valid value, which `drop` destroys.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        let mut this = Self(attributes);
        let flags = libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSID as c_int;
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is initialised by each fill before it is read, the attributes are
        // initialised, and nothing keeps the pointers.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(
                this.0.as_mut_ptr(),
                set.as_ptr(),
            ))?;
            libc::sigfillset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigdefault(
                this.0.as_mut_ptr(),
                set.as_ptr(),
            ))?;
            check(libc::posix_spawnattr_setflags(
                this.0.as_mut_ptr(),
                flags as c_short,
            ))?;
        }
        Ok(this)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: it writes a valid value, which `drop` destroys.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        let mut this = Self(actions);
        for fd in 0..3 {
            // SAFETY: the actions are initialised; the path is copied.
            check(unsafe {
                libc::posix_spawn_file_actions_addopen(
                    this.0.as_mut_ptr(),
                    fd,
                    c"/dev/null".as_ptr(),
                    libc::O_RDWR,
                    0,
                )
            })?;
        }
        Ok(this)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

/// These functions return the error's number.
fn check(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_with_a_clean_slate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seen");
        // Field 6 of stat is the session.
        let script = "{ grep -E 'Sig(Blk|Ign)' /proc/self/status; /usr/bin/env; \
                      cut -d ' ' -f 6 /proc/$$/stat; echo $$; } > $0";
        let program = ["/bin/sh", "-c", script, file.to_str().unwrap()].map(str::to_owned);
        let pid = detached(&program).unwrap();
        let child = rustix::process::Pid::from_raw(pid);
        rustix::process::waitpid(child, rustix::process::WaitOptions::empty()).unwrap();
        let seen = std::fs::read_to_string(&file).unwrap();
        for line in seen.lines().filter(|line| line.starts_with("Sig")) {
            let (name, mask) = line.split_once('\t').unwrap();
            // glibc keeps 32 and 33 for itself and ignores them in the new process.
            let mask = u64::from_str_radix(mask, 16).unwrap() & !0x1_8000_0000;
            assert_eq!(mask, 0, "{name}");
        }
        assert!(seen.ends_with(&format!("{pid}\n{pid}\n")), "{seen}");
        assert!(!seen.contains("HOME="), "{seen}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = detached(&["/no/such/program".into()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(detached(&[]).is_err());
    }
}
