// SPDX-License-Identifier: Apache-2.0
//! The TLS structures of certificate transparency: what is read is written with the same bytes.

use touchmark_sigstore::ct::{
    DataTileEntry, Sct, encode_sct_list, leaf_index_extension, parse_data_tile, parse_digitally_signed,
    parse_leaf_index_extension, parse_merkle_tree_leaf, parse_sct_list,
};

pub fn check(data: &[u8]) {
    if let Ok(scts) = parse_sct_list(data) {
        assert_eq!(encode_sct_list(&scts), data);
    }
    if let Ok(sct) = Sct::from_tls(data) {
        assert_eq!(sct.to_tls(), data);
        let signed = parse_digitally_signed(&sct.digitally_signed()).expect("what was written is read");
        assert_eq!(signed, (sct.scheme, sct.signature.clone()));
    }
    if let Ok(entry) = DataTileEntry::parse(data) {
        assert_eq!(entry.encode(), data);
        let leaf = parse_merkle_tree_leaf(&entry.merkle_tree_leaf()).expect("what was written is read");
        let _ = leaf.entry.identity();
    }
    if let Ok(entries) = parse_data_tile(data) {
        assert_eq!(entries.iter().flat_map(DataTileEntry::encode).collect::<Vec<u8>>(), data);
    }
    let _ = parse_merkle_tree_leaf(data);
    if let Ok(index) = parse_leaf_index_extension(data) {
        let written = leaf_index_extension(index).expect("an index that was read fits");
        assert_eq!(parse_leaf_index_extension(&written), Ok(index));
    }
}
