//! Allocator and panic handler without an operating system.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; it is the only one here")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

/// Enough bytes for nearly every decision: messages have at most 8 KiB.
const ROOM: usize = 32 << 10;

#[repr(align(16))]
struct Room(#[expect(dead_code, reason = "only its address is used")] [u8; ROOM]);

/// A bump allocator. It empties once all blocks are freed, as after every decision, so it never searches. If a policy
/// keeps blocks and fills it, `others` serves the rest.
struct Decision {
    room: UnsafeCell<Room>,
    used: Cell<usize>,
    live: Cell<usize>,
    others: WasmDynamicTalc,
}

// SAFETY: this target has one thread.
unsafe impl Sync for Decision {}

#[global_allocator]
static ALLOCATOR: Decision =
    Decision { room: UnsafeCell::new(Room([0; ROOM])), used: Cell::new(0), live: Cell::new(0), others: new_wasm_dynamic_allocator() };

impl Decision {
    #[cold]
    #[inline(never)]
    fn elsewhere(&self, layout: Layout) -> *mut u8 {
        // SAFETY: callers of `alloc` promise a size above 0.
        unsafe { self.others.alloc(layout) }
    }

    fn offset(&self, block: *mut u8) -> Option<usize> {
        Some(block.addr().wrapping_sub(self.room.get().addr())).filter(|offset| *offset < ROOM)
    }
}

// SAFETY: blocks never overlap, as `used` only grows while one lives; `others` is talc's.
unsafe impl GlobalAlloc for Decision {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.get().next_multiple_of(layout.align());
        if layout.align() > align_of::<Room>() || layout.size() > ROOM.saturating_sub(start) {
            return self.elsewhere(layout);
        }
        self.used.set(start + layout.size());
        self.live.set(self.live.get() + 1);
        // SAFETY: `start` is inside `room`.
        unsafe { self.room.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.offset(block).is_none() {
            // SAFETY: blocks outside `room` come from `others`.
            return unsafe { self.others.dealloc(block, layout) };
        }
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.used.set(0);
        }
    }
}

/// Panics trap; the host then uses safe mode.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
