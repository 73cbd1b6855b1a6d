// SPDX-License-Identifier: Apache-2.0
//! TLS presentation language (RFC 5246 §4): fixed numbers and length-prefixed vectors.
//!
//! In scope: a total reader and a writer. Out of scope: what the structures mean (`ct`).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsError {
    Truncated,
    Trailing,
}

/// How many bytes the length of a vector takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    U16,
    U24,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U24 => 3,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn finish(&self) -> Result<(), TlsError> {
        if self.rest.is_empty() { Ok(()) } else { Err(TlsError::Trailing) }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], TlsError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(TlsError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], TlsError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(TlsError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, TlsError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, TlsError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, TlsError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn vector(&mut self, width: Width) -> Result<&'a [u8], TlsError> {
        let length = self.take(width.bytes())?.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        self.take(length)
    }
}

/// Appends a vector.
///
/// # Panics
/// If the content is longer than its length can say. Everything that is written here was parsed under a smaller limit.
pub(super) fn write_vector(out: &mut Vec<u8>, width: Width, content: &[u8]) {
    let length = content.len().to_be_bytes();
    let (high, low) = length.split_at(length.len() - width.bytes());
    assert!(high.iter().all(|byte| *byte == 0), "a vector of {} bytes does not fit {width:?}", content.len());
    out.extend_from_slice(low);
    out.extend_from_slice(content);
}
