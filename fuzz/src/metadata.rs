// SPDX-License-Identifier: Apache-2.0
//! TUF metadata of every role: the bytes are those that were read, and what is written again says the same to those who sign it.

use touchmark_trust::delegation::Delegations;
use touchmark_trust::document::{Document, RoleType};
use touchmark_trust::role::RootView;
use touchmark_trust::stated::TargetFile;

const PATHS: [&str; 3] = ["trusted_root.json", "registry.npmjs.org/keys.json", "a/b/c"];

pub fn check(data: &[u8]) {
    for role_type in RoleType::ALL {
        let Ok(document) = Document::parse(role_type, data.to_vec()) else { continue };
        assert_eq!(document.bytes(), data, "what was read is kept");
        let written = Document::write(role_type, document.signed(), document.signatures());
        let written = written.expect("what was read can be written");
        assert_eq!(written.canonical(), document.canonical(), "signatures cover the same");
        assert_eq!((written.version(), written.expires()), (document.version(), document.expires()));
        if let RoleType::Targets = role_type {
            targets(&document);
        }
        if let (RoleType::Root, Ok(root)) = (role_type, RootView::read(document)) {
            RoleType::ALL.into_iter().for_each(|role| assert!(root.role(role).threshold() > 0));
            assert!(root.keys_of(RoleType::Root).count() <= root.keys().len());
        }
    }
}

fn targets(document: &Document) {
    for file in TargetFile::all(document).into_iter().flatten() {
        assert!(file.served_as().starts_with("targets/"));
    }
    let Ok(Some(delegations)) = Delegations::read(document.signed().get("delegations")) else { return };
    for path in PATHS {
        let asked = delegations.for_target(path);
        for (position, delegate) in asked.iter().enumerate() {
            assert!(delegations.to_role(&delegate.name).is_some(), "who is asked is delegated to");
            assert!(!delegate.is_terminating || position + 1 == asked.len(), "nobody is asked after one that ends it");
            assert!(RoleType::ALL.iter().all(|role| role.name() != delegate.name));
        }
    }
}
