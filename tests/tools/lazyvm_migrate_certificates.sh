#!/bin/bash
# With certificates; a source with one of another authority, or with one that was revoked, is turned
# away, and a destination whose certificate does not have the name that the source was given.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazyvm_lib.sh
. "$(dirname "$0")/lazyvm_lib.sh"
# shellcheck source=tests/tools/lazyvm_migrate_lib.sh
. "$(dirname "$0")/lazyvm_migrate_lib.sh"
cd "$work"
needs_network

needs_certificates
authority ours
mkdir former
cp ours/ca-*.pem former
certify ours
certify former
authority theirs
certify theirs
printf 'crl_next_update = 100\ncrl_number = 1\n' >template
certtool --generate-crl --load-ca-certificate ours/ca-cert.pem --load-ca-privkey ours/ca-key.pem \
	--load-certificate former/client-cert.pem --template template \
	--outfile ours/ca-crl.pem 2>/dev/null
source_of
destination_of --tls-certificates ours
! grep -q 'without GnuTLS' destination.errors || skip "built without GnuTLS"
refuses 1 'TLS' migrate --control source.socket --tls-certificates theirs $there:"$port"
# It is the same address, and another name.
refuses 1 'TLS' migrate --control source.socket --tls-certificates ours "10.9.2:$port"
refuses 1 "$there" migrate --control source.socket --tls-certificates former $there:"$port"
stays
depart --tls-certificates ours
arrived
