//! A job with its analyst's signature.

use serde::{Deserialize, Serialize};
use shamisen_net::NetError;
use shamisen_net::tls::Identity;
use utoipa::ToSchema;

use crate::job::JobDocument;
use crate::signature;

/// What a signed text begins with, so that the signature is good for nothing else.
const PURPOSE: &str = "shamisen job 1\n";

/// A job as an analyst hands it in, to each of the three servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Submission {
    /// The canonical text of the job.
    pub document: String,
    /// The analyst's signature under it: ECDSA with P-256 and SHA-256, DER, in hexadecimal digits.
    pub signature: String,
    /// The analyst's certificate, in PEM.
    pub certificate: String,
}

impl Submission {
    /// Signs a job.
    ///
    /// # Errors
    ///
    /// If the key cannot sign, or the document is none.
    pub fn sign(document: &JobDocument, identity: &Identity) -> Result<Self, NetError> {
        let unusable = |reason: String| NetError::Identity { reason };
        let text = document.text().map_err(unusable)?;
        let signature = signature::sign(PURPOSE, &text, identity)?;
        Ok(Self { document: text, signature, certificate: identity.certificate_pem() })
    }

    /// The job, if its analyst has signed it and it makes sense.
    pub(crate) fn open(&self) -> Result<Signed, String> {
        let document = JobDocument::parse(&self.document)?;
        let signer = signature::signer(PURPOSE, &self.document, &self.signature, &self.certificate)
            .map_err(|error| format!("the job is not signed as it has to be: {error}"))?;
        if signer != document.analyst {
            return Err(format!("the job is one of {}, but {signer} has signed it", document.analyst));
        }
        Ok(Signed { document, digest: blake3::hash(self.document.as_bytes()).to_hex().to_string() })
    }
}

/// A job that its analyst has signed.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) document: JobDocument,
    /// BLAKE3 hash of its text, by which the servers see that they have the same.
    pub(crate) digest: String,
}

/// Reads a job as it is handed in, and its document alone.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(submission) = serde_json::from_slice::<Submission>(bytes) {
        drop(submission.open());
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        drop(JobDocument::parse(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;
    use crate::job::document::tests::{document, setting};

    #[test]
    fn a_job_is_signed_by_its_analyst_and_stays_as_it_is() {
        let (analyst, other) = (Identity::generate("a").unwrap(), Identity::generate("b").unwrap());
        let job = document(KeyId(analyst.fingerprint()), vec![setting()]);
        let submission = Submission::sign(&job, &analyst).unwrap();
        let signed = submission.open().unwrap();
        assert_eq!((signed.document, signed.digest.len()), (job.clone(), 64));

        let by_other = Submission::sign(&job, &other).unwrap().open().unwrap_err();
        assert!(by_other.contains("has signed it"), "{by_other}");
        let changed = submission.document.replacen("\"epochs\":2", "\"epochs\":3", 1);
        for (odd, part) in [
            (Submission { document: changed, ..submission.clone() }, "not signed as it has to be"),
            (Submission { signature: "12".into(), ..submission.clone() }, "not signed as it has to be"),
            (Submission { signature: "xyz".into(), ..submission.clone() }, "hexadecimal"),
            (Submission { certificate: other.certificate_pem(), ..submission.clone() }, "not signed"),
        ] {
            let problem = odd.open().unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
