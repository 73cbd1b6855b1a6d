// SPDX-License-Identifier: Apache-2.0
//! The kinds of entries that are read: which logs make them, under which name and version.

/// A kind of entry in one of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A signature over a digest, Rekor v1.
    HashedRekordV1,
    /// A signature over a digest, Rekor v2: of files, and of DSSE envelopes by the digest of what they sign.
    HashedRekordV2,
    /// A DSSE envelope, Rekor v1.
    DsseV1,
    /// A DSSE envelope, Rekor v1, as it was logged before the kind `dsse`.
    IntotoV2,
}

impl EntryKind {
    pub const ALL: [Self; 4] = [Self::HashedRekordV1, Self::HashedRekordV2, Self::DsseV1, Self::IntotoV2];

    /// The `kind` of entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HashedRekordV1 | Self::HashedRekordV2 => "hashedrekord",
            Self::DsseV1 => "dsse",
            Self::IntotoV2 => "intoto",
        }
    }

    /// The `version` of entries, which their bodies call `apiVersion`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::HashedRekordV1 | Self::DsseV1 => "0.0.1",
            Self::HashedRekordV2 | Self::IntotoV2 => "0.0.2",
        }
    }

    /// Whether a log of Rekor v2 makes such entries.
    #[must_use]
    pub(crate) const fn is_v2(self) -> bool {
        matches!(self, Self::HashedRekordV2)
    }

    /// The kind of this name and version, if it is one that is read.
    #[must_use]
    pub fn from_wire(kind: &str, version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == kind && known.version() == version)
    }
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name(), self.version())
    }
}
