//! An owner changes the terms of a data set.

use axum::http::StatusCode;

use crate::KeyId;
use crate::audit::Decision;
use crate::manifest::unknown_column;
use crate::server::audit_log::Event;
use crate::server::caller::Caller;
use crate::server::data::{Changed, DataSets, State, UPLOADS, Upload, no_data_set};
use crate::server::problem::Refusal;
use crate::terms_change::SignedTerms;

impl DataSets {
    /// Lets the terms that the owner has signed hold from now on, and returns the data set.
    ///
    /// The same change can come again. One that is not later than the last is refused: whoever has recorded it cannot bring old
    /// terms back.
    pub(crate) fn change_terms(
        &self,
        caller: &Caller,
        id: &str,
        signed: SignedTerms,
    ) -> Result<Upload, Refusal> {
        let wrong = |reason: String| Refusal::new(StatusCode::BAD_REQUEST, reason);
        let (change, signer) = signed.open().map_err(wrong)?;
        if signer != KeyId(caller.fingerprint) {
            let text = format!("the terms are signed by {signer}, and {} hands them in", caller.fingerprint);
            return Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("sign them with your own key"));
        }
        if change.dataset != id {
            return Err(wrong("the terms are signed for another data set".into()));
        }
        self.store.write(|state| {
            let found = UPLOADS.get(state, id)?.filter(|upload| upload.is_of(caller.fingerprint));
            let found = found.filter(|upload| upload.state == State::Complete);
            let mut upload = found.ok_or_else(|| no_data_set(id))?;
            if let Some(problem) = unknown_column(&change.terms, &upload.manifest.schema) {
                return Err(wrong(problem));
            }
            if upload.changed.as_ref().is_some_and(|changed| changed.signed.document == signed.document) {
                return Ok(upload);
            }
            let last = upload.revision();
            if change.revision <= last {
                let text = format!(
                    "this is change {} of the terms, and change {last} was made already",
                    change.revision
                );
                return Err(Refusal::new(StatusCode::CONFLICT, text)
                    .with_hint("`shamisen terms` shows the terms that hold; change them once more"));
            }
            let (digest, reason) = (signed.digest(), format!("change {}", change.revision));
            let event = Event::new("terms.changed", id, Decision::Accepted).by(caller);
            self.audit.append(event.with_digest(&digest).because(reason))?;
            upload.changed = Some(Changed { revision: change.revision, terms: change.terms, signed });
            UPLOADS.put(state, id, &upload)?;
            Ok(upload)
        })
    }
}
