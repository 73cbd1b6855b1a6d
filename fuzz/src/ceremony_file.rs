// SPDX-License-Identifier: Apache-2.0
//! The files that are carried in a ceremony: event, enrolment, signature, targets of a delegated role. What is read is written as the same again,
//! and an event is one only if it can be made again from its inputs.

use touchmark_trust::ceremony::{DelegatedVersion, Enrolment, Event, SignatureFile};
use touchmark_trust::diff::{differences, differences_of_role};

pub fn check(data: &[u8]) {
    if let Ok(event) = Event::from_json(data) {
        let again = Event::from_json(&event.to_json()).expect("what was written is read");
        assert_eq!((again.id(), again.change()), (event.id(), event.change()));
        assert_eq!(differences(&again), differences(&event));
    }
    if let Ok(enrolment) = Enrolment::from_json(data) {
        assert_eq!(Enrolment::from_json(&enrolment.to_json()).expect("what was written is read"), enrolment);
        if let Ok(key) = enrolment.verified("example") {
            assert_eq!(key.holder(), enrolment.holder());
        }
    }
    if let Ok(file) = SignatureFile::from_json(data) {
        assert_eq!(SignatureFile::from_json(&file.to_json()).expect("what was written is read"), file);
    }
    if let Ok(version) = DelegatedVersion::from_json(data) {
        assert_eq!(DelegatedVersion::from_json(&version.to_json()).expect("what was written is read"), version);
        let _ = differences_of_role(version.role(), None, version.document());
    }
}
