"""A model package: one signed archive that carries a model and everything needed to run and check it.

    archive     a package file is a deterministic tar: `pack`, `unpack`
    names       which file names may stand in a package
    manifest    what the package says about itself (`manifest.json`)
    contents    the standard files: `assemble` makes them, `read` decodes them
    bundle      the signature's JSON: Sigstore bundle, DSSE envelope, in-toto Statement
    provenance  how a release came about, and what its ledger paid: checked offline
    bom         its bill of materials, CycloneDX
    comparing   what changed from one package to the next
    signature   `sign` and `verify` over ECDSA P-256
    verify      the two ways in: `sign_package` for the publisher, `verify` for everyone else

Everything works on bytes; reading and writing files is for `covey_io.packages` and `covey_client.slots`.
"""
