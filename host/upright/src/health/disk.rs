//! Reads the size and free space of the disk that holds a path.

use std::path::Path;

pub(crate) type Room = (u64, u64);

/// Asks for the path or its nearest existing parent. (0, 0) if unreadable.
///
/// Does not list all mounts: a list omits network disks, and a disk that is gone can hang.
#[cfg(unix)]
pub(crate) fn room(path: &Path) -> Room {
    let found = path.ancestors().find_map(|path| rustix::fs::statvfs(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok());
    found.map_or((0, 0), |disk| (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// The deepest mount above the path counts. (0, 0) if unreadable.
#[cfg(not(unix))]
pub(crate) fn room(path: &Path) -> Room {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Ok(disks) = sysinfo::Disks::new_with_refreshed_list_specifics(sysinfo::DiskRefreshKind::nothing().with_storage()) else {
        return (0, 0);
    };
    let holding = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    let deepest = holding.max_by_key(|disk| disk.mount_point().components().count());
    deepest.map_or((0, 0), |disk| (disk.total_space(), disk.available_space()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_under_this_program_has_a_size() {
        let (total, free) = room(&std::env::current_dir().unwrap());
        assert!(total > 0 && free <= total, "{free} of {total}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_folder_above() {
        let here = std::env::current_dir().unwrap();
        let (total, _) = room(&here.join("not/there/yet"));
        assert_eq!(total, room(&here).0);
        assert!(room(Path::new("neither-is-this")).0 > 0);
    }
}
