//! What the tests' allocator was asked for, thread by thread: a measure of work that no other
//! program on the machine changes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What one thread asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How many times.
    pub(crate) times: usize,
    /// Most bytes that were in use at once.
    pub(crate) peak: usize,
    in_use: usize,
}

thread_local! {
    static ASKED: Cell<Asked> = const {
        Cell::new(Asked { times: 0, peak: 0, in_use: 0 })
    };
}

/// Does something, and says what it asked the allocator for on this thread.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, Asked) {
    ASKED.set(Asked::default());
    let made = work();
    (made, ASKED.get())
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn note(added: usize, removed: usize) {
    // A thread that ends may still free what it had.
    let _ = ASKED.try_with(|cell| {
        let mut asked = cell.get();
        asked.times += usize::from(added > 0);
        // What was there before the counting began may go while it is on.
        asked.in_use = (asked.in_use + added).saturating_sub(removed);
        asked.peak = asked.peak.max(asked.in_use);
        cell.set(asked);
    });
}

// SAFETY: every call goes to the system's allocator as it came; the counters are plain cells without a
// destructor, and counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the pointer is one of the system's allocator, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
