//! New terms of a data set, signed by its owner.

use serde::{Deserialize, Serialize};
use shamisen_net::NetError;
use shamisen_net::tls::Identity;
use utoipa::ToSchema;

use crate::KeyId;
use crate::signature;
use crate::terms::Terms;

/// What a signed text begins with.
const PURPOSE: &str = "shamisen terms 1\n";

/// New terms of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the owner says all of it")]
pub struct TermsChange {
    /// Id of the data set.
    pub dataset: String,
    /// Which change it is, from 1: a server takes those alone that are later than what it has.
    pub revision: u64,
    /// What holds from now on, in place of all terms before.
    pub terms: Terms,
}

/// New terms as an owner hands them in, to each of the three servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SignedTerms {
    /// The change as JSON: `dataset`, `revision` and `terms`.
    pub document: String,
    /// The owner's signature under it: ECDSA with P-256 and SHA-256, DER, in hexadecimal digits.
    pub signature: String,
    /// The owner's certificate, in PEM.
    pub certificate: String,
}

impl SignedTerms {
    /// Signs new terms.
    ///
    /// # Errors
    ///
    /// If the key cannot sign.
    pub fn sign(change: &TermsChange, identity: &Identity) -> Result<Self, NetError> {
        let unusable = |error: serde_json::Error| NetError::Identity { reason: error.to_string() };
        let document = serde_json::to_string(change).map_err(unusable)?;
        let signature = signature::sign(PURPOSE, &document, identity)?;
        Ok(Self { document, signature, certificate: identity.certificate_pem() })
    }

    /// The change, if somebody has signed it and it makes sense, and whose signature it is.
    pub(crate) fn open(&self) -> Result<(TermsChange, KeyId), String> {
        let signer = signature::signer(PURPOSE, &self.document, &self.signature, &self.certificate)
            .map_err(|error| format!("the terms are not signed as they have to be: {error}"))?;
        let change: TermsChange =
            serde_json::from_str(&self.document).map_err(|error| format!("these are no terms: {error}"))?;
        match change.terms.problem() {
            None => Ok((change, signer)),
            Some(problem) => Err(format!("the terms make no sense: {problem}")),
        }
    }

    /// BLAKE3 hash of what was signed, 64 hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        blake3::hash(self.document.as_bytes()).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(expires: &str) -> TermsChange {
        let trainer = "1".repeat(64);
        let terms = format!(
            r#"{{"trainers": ["{trainer}"], "max_epochs": 1, "max_jobs": 1, "expires": "{expires}"}}"#
        );
        TermsChange { dataset: "0".repeat(32), revision: 1, terms: serde_json::from_str(&terms).unwrap() }
    }

    #[test]
    fn terms_are_signed_and_stay_as_they_are() {
        let (owner, other) = (Identity::generate("a").unwrap(), Identity::generate("b").unwrap());
        let signed = SignedTerms::sign(&change("2027-01-01"), &owner).unwrap();
        assert_eq!(signed.open().unwrap(), (change("2027-01-01"), KeyId(owner.fingerprint())));
        let later = signed.document.replace("2027", "2028");
        for odd in [
            SignedTerms { document: later, ..signed.clone() },
            SignedTerms { certificate: other.certificate_pem(), ..signed.clone() },
            SignedTerms { signature: "12".into(), ..signed },
        ] {
            assert!(odd.open().unwrap_err().contains("not signed as they have to be"));
        }
        let mut empty = change("2027-01-01");
        empty.terms.trainers.clear();
        let problem = SignedTerms::sign(&empty, &owner).unwrap().open().unwrap_err();
        assert!(problem.contains("trainers is empty"), "{problem}");
    }
}
