//! What a process shows as its command line: the memory that its arguments came in.

use std::slice;

/// That memory of this process, and of the copies that it makes of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Title {
    start: usize,
    len: usize,
}

impl Title {
    /// Finds it (fields 48 and 49 of `/proc/self/stat`, proc(5)); `None` where the kernel does not say.
    pub(crate) fn find() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name is in parentheses and may contain anything: count from the last one.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ').skip(48 - 3);
        let mut address = || fields.next()?.trim().parse::<usize>().ok();
        let (start, end) = (address()?, address()?);
        let len = end.checked_sub(start)?;
        (start != 0 && len > 0).then_some(Self { start, len })
    }

    /// Shows these words instead, as far as there is room for them.
    pub(crate) fn show<'a>(self, words: impl Iterator<Item = &'a str>) {
        // SAFETY: the kernel put the arguments there when the program was executed, on the stack, which is
        // writable and stays mapped as long as the process lives. Nobody else holds a reference into it: the
        // standard library copies an argument whenever it is asked for one.
        let area = unsafe { slice::from_raw_parts_mut(self.start as *mut u8, self.len) };
        // Not the last byte: with another one than null the kernel would go on into the environment.
        let Some((last, room)) = area.split_last_mut() else {
            return;
        };
        *last = 0;
        let nulls = std::iter::repeat(0);
        let bytes = words.flat_map(|word| word.bytes().chain([0])).chain(nulls);
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_this_process_shows_other_words_and_this_one_stays_as_it_is() {
        let before = std::fs::read("/proc/self/cmdline").unwrap();
        let title = Title::find().unwrap();
        assert_eq!(title.len, before.len());
        let child = super::super::clone::fork().unwrap();
        let Some(pid) = child else {
            title.show(["other", "words"].into_iter());
            // Until it is killed: others look at it meanwhile.
            loop {
                let _ = rustix::thread::nanosleep(&rustix::time::Timespec {
                    tv_sec: 1,
                    tv_nsec: 0,
                });
            }
        };
        let shown = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !shown().starts_with(b"other\0words\0\0") && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let seen = shown();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
        assert!(seen.starts_with(b"other\0words\0\0"), "{seen:?}");
        assert_eq!(std::fs::read("/proc/self/cmdline").unwrap(), before);
    }
}
