// SPDX-License-Identifier: Apache-2.0
//! The journal that `shim.c` writes: every change of a file or a name, in the order in which they happened.

use std::fmt;
use std::path::Path;

/// One record. Files are known by the number that the shim gave them in this life of the process.
pub(super) enum Record {
    Created { path: String, file: u64 },
    Opened { path: String, file: u64 },
    Written { file: u64, offset: u64, bytes: Vec<u8> },
    Length { file: u64, length: u64 },
    FileSynced { file: u64 },
    DirSynced { path: String },
    SyncFailed { file: u64 },
    Renamed { from: String, to: String },
    Linked { from: String, to: String },
    Unlinked { path: String },
    DirMade { path: String },
    DirRemoved { path: String },
    Fault { what: String, operation: u64 },
}

pub(super) fn read(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(record(&mut rest));
    }
    records
}

fn record(rest: &mut &[u8]) -> Record {
    let mut number = |bytes: usize| {
        let (field, after) = rest.split_at(bytes);
        *rest = after;
        field.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let (kind, a, b, data) = (number(4), number(4), number(4), number(4));
    let (x, y) = (number(8), number(8));
    let mut part = |length: u64| {
        let (part, after) = rest.split_at(usize::try_from(length).unwrap());
        *rest = after;
        part
    };
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
    let (path, to, bytes) = (text(part(a)), text(part(b)), part(data).to_vec());
    match kind {
        1 => Record::Created { path, file: x },
        2 => Record::Opened { path, file: x },
        3 => Record::Written { file: x, offset: y, bytes },
        4 => Record::Length { file: x, length: y },
        5 => Record::FileSynced { file: x },
        6 => Record::DirSynced { path },
        7 => Record::SyncFailed { file: x },
        8 => Record::Renamed { from: path, to },
        9 => Record::Linked { from: path, to },
        10 => Record::Unlinked { path },
        11 => Record::DirMade { path },
        12 => Record::DirRemoved { path },
        13 => Record::Fault { what: path, operation: x },
        other => panic!("the journal has a record of kind {other}"),
    }
}

/// One line for people.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { path, file } => write!(f, "create   {path} as #{file}"),
            Self::Opened { path, file } => write!(f, "open     {path} as #{file}"),
            Self::Written { file, offset, bytes } => write!(f, "write    #{file} at {offset}, {} bytes", bytes.len()),
            Self::Length { file, length } => write!(f, "truncate #{file} to {length}"),
            Self::FileSynced { file } => write!(f, "fsync    #{file}"),
            Self::DirSynced { path } => write!(f, "fsync    {path}/"),
            Self::SyncFailed { file } => write!(f, "fsync    #{file} failed"),
            Self::Renamed { from, to } => write!(f, "rename   {from} to {to}"),
            Self::Linked { from, to } => write!(f, "link     {from} to {to}"),
            Self::Unlinked { path } => write!(f, "unlink   {path}"),
            Self::DirMade { path } => write!(f, "mkdir    {path}"),
            Self::DirRemoved { path } => write!(f, "rmdir    {path}"),
            Self::Fault { what, operation } => write!(f, "FAULT    {what}, operation {operation}"),
        }
    }
}
