// SPDX-License-Identifier: Apache-2.0
//! A disk as a model: what the processes see (the cache), what is surely stored, and what lies between.
//!
//! The journal of a process is applied to it record by record. A power cut then leaves what is stored, and of what lies between whatever a seed
//! says, within the rules of one of two kinds of file system ([`Names`]). The rules, for both:
//!
//! - What was written to a file and then fsynced (fdatasync is the same here) is there.
//! - Of what was written and not fsynced each sector of 512 bytes is there or is not, independently: so writes are lost, torn and reordered. A
//!   sector that was written several times may be there in any of its versions. The length is the stored one, the last one, or that of any write
//!   between.
//! - After a failed fsync the pages that it should have stored count as clean: a later fsync stores them only if they are written again (Linux;
//!   "fsyncgate"). The process goes on to see them.
//! - A name that was changed is the old or the new one. Never is a renamed file under neither of its names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::journal::Record;
use super::random::Random;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

/// What a file system promises about names that no fsync of their directory has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// ext4, XFS, btrfs: changes of names reach the disk in their order, and every fsync of any file takes those before it along. (btrfs and XFS
    /// promise a little less about fsync of an unrelated file; the next kind covers them.)
    Journalled,
    /// No more than POSIX says: each change of each directory by itself, until that directory is fsynced. An fsync of a file stores no name.
    Loose,
}

type Number = usize;

/// A file's contents without its holes.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
    length: u64,
}

#[derive(Clone)]
enum Pending {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Clone, Default)]
struct FileState {
    cache: Image,
    stored: Image,
    pending: Vec<Pending>,
    /// Since an fsync failed: what is written from now on dirties whole pages, which then take along what that fsync left behind.
    sync_failed: bool,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry {
    File(Number),
    Dir(Number),
}

#[derive(Clone, Default)]
struct DirState {
    cache: Entries,
    stored: Entries,
}

/// A change of one name in one directory.
#[derive(Clone)]
struct Change {
    dir: Number,
    name: String,
    to: Option<Entry>,
}

/// What one call changed. If there are two, the second is the removal of the old name of what the first has given a new one.
#[derive(Clone)]
struct NameChange {
    changes: Vec<Change>,
}

/// A disk below one directory.
#[derive(Clone)]
pub(super) struct Disk {
    names: Names,
    files: Vec<FileState>,
    dirs: Vec<DirState>,
    /// In the order in which they were made; without those that are stored.
    changes: Vec<NameChange>,
    /// The shim's numbers of this life.
    numbers: HashMap<u64, Number>,
}

const ROOT: Number = 0;

impl Disk {
    pub(super) fn new(names: Names) -> Self {
        let dirs = vec![DirState::default()];
        Self { names, files: Vec::new(), dirs, changes: Vec::new(), numbers: HashMap::new() }
    }

    /// Applies the journal of one life of the process. `random` says what a failed fsync has stored.
    pub(super) fn apply(&mut self, records: &[Record], random: &mut Random) {
        self.numbers.clear();
        for record in records {
            self.apply_one(record, random);
        }
    }

    fn apply_one(&mut self, record: &Record, random: &mut Random) {
        match record {
            Record::Created { path, file } => {
                let number = self.new_file();
                self.numbers.insert(*file, number);
                self.change(&[(path, Some(Entry::File(number)))]);
            }
            Record::Opened { path, file } => self.opened(path, *file),
            Record::Written { file, offset, bytes } => self.file(*file).write(*offset, bytes),
            Record::Length { file, length } => {
                let file = self.file(*file);
                file.cache.set_length(*length);
                file.pending.push(Pending::Length(*length));
            }
            Record::FileSynced { file } => {
                self.file(*file).sync();
                if self.names == Names::Journalled {
                    self.store_changes(|_| true);
                }
            }
            Record::DirSynced { path } => {
                let dir = self.dir_of(path);
                let journalled = self.names == Names::Journalled;
                self.store_changes(|change| journalled || change.dir == dir);
            }
            Record::SyncFailed { file } => self.file(*file).fail_sync(random),
            Record::Renamed { from, to } => {
                let entry = self.entry_of(from).unwrap_or_else(|| panic!("{from} was renamed but does not exist"));
                self.change(&[(to, Some(entry)), (from, None)]);
            }
            Record::Linked { from, to } => {
                let entry = self.entry_of(from).unwrap_or_else(|| panic!("{from} was linked but does not exist"));
                self.change(&[(to, Some(entry))]);
            }
            Record::Unlinked { path } | Record::DirRemoved { path } => self.change(&[(path, None)]),
            Record::DirMade { path } => {
                self.dirs.push(DirState::default());
                let number = self.dirs.len() - 1;
                self.change(&[(path, Some(Entry::Dir(number)))]);
            }
            Record::Fault { .. } => {}
        }
    }

    /// Learns the number of a file that was there before; or sees that a file has come to another name than it had, by a call that the shim
    /// cannot see.
    fn opened(&mut self, path: &str, file: u64) {
        let found = match self.entry_of(path) {
            Some(Entry::File(number)) => Some(number),
            _ => None,
        };
        let known = *self.numbers.entry(file).or_insert_with(|| {
            found.unwrap_or_else(|| panic!("{path} was opened, but the journal does not say how it came there"))
        });
        if found != Some(known) {
            let from = self.path_to(ROOT, "", known).unwrap_or_else(|| panic!("{path} holds a file without a name"));
            self.change(&[(path, Some(Entry::File(known))), (&from, None)]);
        }
    }

    fn path_to(&self, dir: Number, prefix: &str, file: Number) -> Option<String> {
        self.dirs[dir].cache.iter().find_map(|(name, entry)| match entry {
            Entry::File(number) if *number == file => Some(format!("{prefix}/{name}")),
            Entry::Dir(number) => self.path_to(*number, &format!("{prefix}/{name}"), file),
            Entry::File(_) => None,
        })
    }

    fn new_file(&mut self) -> Number {
        self.files.push(FileState::default());
        self.files.len() - 1
    }

    fn file(&mut self, file: u64) -> &mut FileState {
        let number = self.numbers[&file];
        &mut self.files[number]
    }

    fn entry_of(&self, path: &str) -> Option<Entry> {
        let mut entry = Entry::Dir(ROOT);
        for name in parts(path) {
            let Entry::Dir(dir) = entry else { return None };
            entry = *self.dirs[dir].cache.get(name)?;
        }
        Some(entry)
    }

    fn dir_of(&self, path: &str) -> Number {
        match self.entry_of(path) {
            Some(Entry::Dir(dir)) => dir,
            other => panic!("{path} is no directory: {other:?}"),
        }
    }

    fn change(&mut self, changes: &[(&str, Option<Entry>)]) {
        let change = |(path, to): &(&str, Option<Entry>)| {
            let (dir, name) = path.trim_end_matches('/').rsplit_once('/').unwrap();
            Change { dir: self.dir_of(dir), name: name.to_owned(), to: *to }
        };
        let changes: Vec<Change> = changes.iter().map(change).collect();
        for change in &changes {
            set(&mut self.dirs[change.dir].cache, change);
        }
        self.changes.push(NameChange { changes });
    }

    fn store_changes(&mut self, is_stored: impl Fn(&Change) -> bool) {
        for change in &mut self.changes {
            change.changes.retain(|change| {
                if is_stored(change) {
                    set(&mut self.dirs[change.dir].stored, change);
                }
                !is_stored(change)
            });
        }
        self.changes.retain(|change| !change.changes.is_empty());
    }

    /// One of the states that a power cut may leave now.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut cut = self.clone();
        let changes = std::mem::take(&mut cut.changes);
        let kept_in_order = random.below(changes.len() as u64 + 1);
        for (position, NameChange { changes }) in changes.iter().enumerate() {
            let keep = match self.names {
                Names::Journalled => (position as u64) < kept_in_order,
                Names::Loose => random.chance(50),
            };
            let Some((first, second)) = changes.split_first().filter(|_| keep) else { continue };
            set(&mut cut.dirs[first.dir].stored, first);
            // The removal of the old name may be lost though the new one is there, if they are in different directories.
            let both =
                |second: &&Change| self.names == Names::Journalled || second.dir == first.dir || random.chance(50);
            if let Some(second) = second.first().filter(both) {
                set(&mut cut.dirs[second.dir].stored, second);
            }
        }
        for file in &mut cut.files {
            file.cut(random);
        }
        for dir in &mut cut.dirs {
            dir.cache = dir.stored.clone();
        }
        cut.numbers.clear();
        cut
    }

    /// Writes what the processes see below a new directory.
    pub(super) fn write_to(&self, path: &Path) {
        self.write_dir(ROOT, path);
    }

    fn write_dir(&self, dir: Number, path: &Path) {
        std::fs::create_dir(path).unwrap();
        for (name, entry) in &self.dirs[dir].cache {
            match entry {
                Entry::Dir(number) => self.write_dir(*number, &path.join(name)),
                // A file with two names becomes two files; the journal never has that for long, and no code looks.
                Entry::File(number) => self.files[*number].cache.write_to(&path.join(name)),
            }
        }
    }

    /// The journal has told everything: the model's files are those of the directory, byte for byte.
    pub(super) fn demand_equal(&mut self, path: &Path) {
        self.infer_renames(ROOT, path);
        self.demand_equal_dir(ROOT, path);
    }

    /// A rename that the shim did not see, and after which the process ended before it opened the file again.
    fn infer_renames(&mut self, dir: Number, path: &Path) {
        let found = names_in(path);
        let vanished: Vec<String> =
            self.dirs[dir].cache.keys().filter(|name| !found.contains(*name)).cloned().collect();
        for name in vanished {
            let Entry::File(number) = self.dirs[dir].cache[&name] else { continue };
            let target = found.iter().find(|other| {
                let is_other = self.dirs[dir].cache.get(*other) != Some(&Entry::File(number));
                let differs = match self.dirs[dir].cache.get(*other) {
                    Some(Entry::File(there)) => !self.files[*there].cache.equals(&path.join(other)),
                    Some(Entry::Dir(_)) => false,
                    None => true,
                };
                is_other && differs && self.files[number].cache.equals(&path.join(other))
            });
            let target = target.unwrap_or_else(|| panic!("{name} is gone from {}", path.display())).clone();
            let changes = vec![
                Change { dir, name: target, to: Some(Entry::File(number)) },
                Change { dir, name: name.clone(), to: None },
            ];
            for change in &changes {
                set(&mut self.dirs[dir].cache, change);
            }
            self.changes.push(NameChange { changes });
        }
        for (name, entry) in self.dirs[dir].cache.clone() {
            if let Entry::Dir(number) = entry {
                self.infer_renames(number, &path.join(name));
            }
        }
    }

    fn demand_equal_dir(&self, dir: Number, path: &Path) {
        let expected: BTreeSet<String> = self.dirs[dir].cache.keys().cloned().collect();
        assert_eq!(names_in(path), expected, "names in {}", path.display());
        for (name, entry) in &self.dirs[dir].cache {
            let path = path.join(name);
            match entry {
                Entry::Dir(number) => self.demand_equal_dir(*number, &path),
                Entry::File(number) => {
                    assert!(self.files[*number].cache.equals(&path), "{} is not what was written", path.display());
                }
            }
        }
    }
}

fn names_in(path: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(path).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

fn set(entries: &mut Entries, change: &Change) {
    match change.to {
        Some(entry) => drop(entries.insert(change.name.clone(), entry)),
        None => drop(entries.remove(&change.name)),
    }
}

impl FileState {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.cache.write(offset, bytes);
        let (mut offset, mut bytes) = (offset, bytes.to_vec());
        if self.sync_failed {
            let page = PAGE_BYTES as u64;
            let end = (offset + bytes.len() as u64).next_multiple_of(page).min(self.cache.length);
            offset -= offset % page;
            bytes = self.cache.read(offset, usize::try_from(end - offset).unwrap());
        }
        self.pending.push(Pending::Write { offset, bytes });
    }

    fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Write { offset, bytes } => self.stored.write(offset, &bytes),
                Pending::Length(length) => self.stored.set_length(length),
            }
        }
    }

    /// Some of it is stored; the rest never will be, unless it is written again.
    fn fail_sync(&mut self, random: &mut Random) {
        self.stored = self.some_of_pending(random);
        // The length is the file's own and not that of a page: it is stored by the next fsync.
        self.pending = vec![Pending::Length(self.cache.length)];
        self.sync_failed = true;
    }

    fn cut(&mut self, random: &mut Random) {
        self.stored = self.some_of_pending(random);
        self.pending.clear();
        self.cache = self.stored.clone();
        self.sync_failed = false;
    }

    fn some_of_pending(&self, random: &mut Random) -> Image {
        let mut image = self.stored.clone();
        // Whole files are often lost or kept: sectors by themselves alone would hardly ever leave a long record whole.
        let keep_percent = *random.pick(&[0, 5, 50, 95, 99, 100]);
        // A sector is kept as it was after a write, with what earlier writes had put there.
        let mut then = self.stored.clone();
        let mut lengths = vec![image.length];
        for pending in &self.pending {
            match pending {
                Pending::Write { offset, bytes } => {
                    then.write(*offset, bytes);
                    for (start, count) in then.sectors(*offset, bytes.len()) {
                        if random.chance(keep_percent) {
                            image.write(start, &then.read(start, count));
                        }
                    }
                }
                Pending::Length(length) => {
                    then.set_length(*length);
                    if random.chance(keep_percent) {
                        image.set_length(*length);
                    }
                }
            }
            lengths.push(then.length);
        }
        // A length that was never stored hides what lies behind it.
        if random.chance(50) {
            image.set_length(*random.pick(&lengths));
        }
        image
    }
}

impl Image {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (page, within) = (at / PAGE_BYTES as u64, usize::try_from(at % PAGE_BYTES as u64).unwrap());
            let count = (PAGE_BYTES - within).min(bytes.len() - done);
            let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    /// Where each sector begins that a write has changed, and how much of it is within the file.
    fn sectors(&self, offset: u64, count: usize) -> impl Iterator<Item = (u64, usize)> + use<> {
        let (sector, length) = (SECTOR_BYTES as u64, self.length);
        let starts = (offset / sector..(offset + count as u64).div_ceil(sector)).map(move |number| number * sector);
        starts.map(move |start| (start, usize::try_from(sector.min(length - start)).unwrap()))
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            let first_gone = length.div_ceil(PAGE_BYTES as u64);
            drop(self.pages.split_off(&first_gone));
            let within = usize::try_from(length % PAGE_BYTES as u64).unwrap();
            if let Some(page) = self.pages.get_mut(&(length / PAGE_BYTES as u64)) {
                page[within..].fill(0);
            }
        }
        self.length = length;
    }

    fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let at = offset + bytes.len() as u64;
            let within = usize::try_from(at % PAGE_BYTES as u64).unwrap();
            let part = within..PAGE_BYTES.min(within + count - bytes.len());
            match self.pages.get(&(at / PAGE_BYTES as u64)) {
                Some(page) => bytes.extend(&page[part]),
                None => bytes.resize(bytes.len() + part.len(), 0),
            }
        }
        bytes
    }

    fn write_to(&self, path: &Path) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::create(path).unwrap();
        for (number, page) in &self.pages {
            file.write_all_at(page.as_slice(), number * PAGE_BYTES as u64).unwrap();
        }
        file.set_len(self.length).unwrap();
    }

    fn equals(&self, path: &Path) -> bool {
        use std::io::Read as _;
        let Ok(mut file) = std::fs::File::open(path) else { return false };
        if file.metadata().unwrap().len() != self.length {
            return false;
        }
        let zeros = [0; PAGE_BYTES];
        let (mut buffer, mut number) = (vec![0; 64 * PAGE_BYTES], 0);
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match file.read(&mut buffer[filled..]).unwrap() {
                    0 => break,
                    count => filled += count,
                }
            }
            for chunk in buffer[..filled].chunks(PAGE_BYTES) {
                let page = self.pages.get(&number).map_or(&zeros, |page| &**page);
                if *chunk != page[..chunk.len()] {
                    return false;
                }
                number += 1;
            }
            if filled == 0 {
                return true;
            }
        }
    }
}

/// The model itself: what must be kept is kept whatever the seed, and what may be lost is lost under some seed.
#[cfg(test)]
mod tests {
    use super::*;

    /// Names and contents of one directory after a power cut, under many seeds.
    fn states(names: Names, records: &[Record]) -> BTreeSet<Vec<(String, Vec<u8>)>> {
        let state = |seed| {
            let mut random = Random::part(seed, 0);
            let mut disk = Disk::new(names);
            disk.apply(records, &mut random);
            let disk = disk.after_power_cut(&mut random);
            let read = |entry: &Entry| match entry {
                Entry::File(file) => {
                    let image = &disk.files[*file].cache;
                    image.read(0, usize::try_from(image.length).unwrap())
                }
                Entry::Dir(_) => Vec::new(),
            };
            disk.dirs[ROOT].cache.iter().map(|(name, entry)| (name.clone(), read(entry))).collect()
        };
        (0..300).map(state).collect()
    }

    fn created(path: &str, file: u64) -> Record {
        Record::Created { path: path.to_owned(), file }
    }

    fn written(offset: u64, bytes: &[u8]) -> Record {
        Record::Written { file: 1, offset, bytes: bytes.to_vec() }
    }

    const SYNCED: Record = Record::FileSynced { file: 1 };

    fn dir_synced() -> Record {
        Record::DirSynced { path: "/".to_owned() }
    }

    #[test]
    fn what_was_synced_is_there_and_only_that_is_sure() {
        let first = [created("/a", 1), written(0, b"kept"), SYNCED, dir_synced()];
        assert_eq!(states(Names::Loose, &first), [vec![("a".to_owned(), b"kept".to_vec())]].into());
        let [a, b, c, d] = first;
        let lost = states(Names::Loose, &[a, b, c, d, written(4, b"more")]);
        assert_eq!(lost.len(), 3, "lost, kept, and the length alone: {lost:?}");
        assert!(lost.iter().all(|state| state[0].1.starts_with(b"kept")));
    }

    #[test]
    fn a_name_is_stored_with_any_file_or_with_its_directory_alone() {
        let records = || [created("/a", 1), created("/b", 2), SYNCED];
        assert_eq!(states(Names::Journalled, &records()).len(), 1);
        assert_eq!(states(Names::Loose, &records()).len(), 4, "each of two names by itself");
        let [a, b, _] = records();
        assert_eq!(states(Names::Journalled, &[a, b]).len(), 3, "in their order");
    }

    #[test]
    fn a_renamed_file_is_never_under_neither_name() {
        let renamed = Record::Renamed { from: "/a".to_owned(), to: "/b".to_owned() };
        let states = states(Names::Loose, &[created("/a", 1), dir_synced(), renamed]);
        assert!(states.len() == 2 && states.iter().all(|names| names.len() == 1), "{states:?}");
    }

    #[test]
    fn sectors_are_torn_and_keep_what_was_in_them() {
        let bytes = |byte: u8| vec![byte; 3 * SECTOR_BYTES];
        let records =
            [created("/a", 1), dir_synced(), written(0, &bytes(1)), SYNCED, written(0, &bytes(2)), written(600, &[3])];
        let states = states(Names::Loose, &records);
        assert!(states.len() > 8, "every set of sectors");
        for state in states {
            let file = &state[0].1;
            assert!(file.chunks(SECTOR_BYTES).all(|sector| sector.iter().all(|byte| *byte == sector[0] || *byte == 3)));
            assert!(file[600] != 3 || file[601] == 2, "a later write takes the sector along as it was");
        }
    }

    #[test]
    fn after_a_failed_sync_only_what_is_written_again_is_stored() {
        let failed = Record::SyncFailed { file: 1 };
        let lost = [created("/a", 1), dir_synced(), written(0, b"one"), failed, SYNCED];
        assert!(states(Names::Loose, &lost).contains(&vec![("a".to_owned(), vec![0; 3])]));
        let [a, b, c, d, e] = lost;
        let again = [a, b, c, d, written(3, b"two"), e];
        assert_eq!(states(Names::Loose, &again), [vec![("a".to_owned(), b"onetwo".to_vec())]].into());
    }
}
