//! What a program without an operating system brings along itself.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; it is the only one here")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

/// Enough for nearly all decisions: a message has 8 KiB at most.
const ROOM: usize = 32 << 10;

/// The alignment that anything can have; a type that wants more is served by [`Decision::others`].
#[repr(align(16))]
struct Room(#[expect(dead_code, reason = "only its address is used")] [u8; ROOM]);

/// Memory for one decision: each block follows the one before, and once all are given back, as they are after every decision, the room is empty again.
/// So a decision costs no search for free memory. A policy that keeps a block stays right: when the room is full, `others` serves all further ones.
struct Decision {
    room: UnsafeCell<Room>,
    used: Cell<usize>,
    /// Blocks that were not given back.
    live: Cell<usize>,
    others: WasmDynamicTalc,
}

// SAFETY: a component of this target has one thread.
unsafe impl Sync for Decision {}

#[global_allocator]
static ALLOCATOR: Decision =
    Decision { room: UnsafeCell::new(Room([0; ROOM])), used: Cell::new(0), live: Cell::new(0), others: new_wasm_dynamic_allocator() };

impl Decision {
    #[cold]
    #[inline(never)]
    fn elsewhere(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is that of a caller of `alloc`, who promises that it is none of no bytes.
        unsafe { self.others.alloc(layout) }
    }

    /// Where in the room a block lies, if it does.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        Some(block.addr().wrapping_sub(self.room.get().addr())).filter(|offset| *offset < ROOM)
    }
}

// SAFETY: blocks of the room are apart from each other, since `used` only grows while one of them lives; all others are talc's.
unsafe impl GlobalAlloc for Decision {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get().next_multiple_of(layout.align());
        if layout.align() > align_of::<Room>() || layout.size() > ROOM.saturating_sub(start) {
            return self.elsewhere(layout);
        }
        self.used.set(start + layout.size());
        self.live.set(self.live.get() + 1);
        // SAFETY: `start` is within the room.
        unsafe { self.room.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.offset(block).is_none() {
            // SAFETY: it is not of the room, so it is of these.
            return unsafe { self.others.dealloc(block, layout) };
        }
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.used.set(0);
        }
    }
}

/// A panic is a trap: the host then answers with its safe mode.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
