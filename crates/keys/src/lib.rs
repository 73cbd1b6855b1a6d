// SPDX-License-Identifier: Apache-2.0
//! Digests, public keys, signature verification, and the secret keys behind the signers.
//!
//! Spec: the algorithm registry of Sigstore (`PublicKeyDetails` of the protobuf specs), RFC 5480, RFC 8017, RFC 8032,
//! RFC 8410, FIPS 204 with RFC 9881, RFC 5958 (PKCS#8), RFC 8018 (PBES2), RFC 2104 (HMAC), RFC 5297 (AES-SIV), PKCS#11's
//! encodings, and Fulcio's key policy.
//!
//! In scope: the one table of signature schemes ([`Scheme`]), hashing, parsing and strength of public keys, verification
//! over messages and over digests, making and reading secret keys; the authenticated encryption of time servers ([`SivKey`]).
//! Out of scope: certificates and their paths (crate `sigstore`), where a secret key lives and who may use it (crate
//! `signers`), note signatures (crate `tlog`).
//!
//! Invariants: this is the only crate that names a library of cryptographic primitives, and names it only in the private
//! module `backend`. No clock, file, socket or environment. The only thing that is not a function of its arguments is the
//! system's random number generator: [`random`], key generation, and the salt of an encrypted key. Nothing of [`secret`]
//! can be printed.

mod backend;
mod digest;
mod pem;
pub mod pkcs11;
mod public;
mod scheme;
pub mod secret;
mod siv;
mod strength;

pub use backend::{hmac_sha256, random, webpki_algorithms};
pub use digest::{Digest, DigestError, DigestTextError, HashAlgorithm, Hasher, digest, sha256, sha256_parts};
pub use public::{KeyError, PublicKey, SignatureError, SignatureValid};
pub use scheme::{KeyFamily, KeyType, Scheme, SchemeFamily, Standing};
pub use siv::{SIV_KEY_BYTES, SIV_OVERHEAD_BYTES, SivError, SivKey};
pub use strength::{StrongKey, Weakness};
