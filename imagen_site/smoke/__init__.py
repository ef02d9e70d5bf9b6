"""
A smoke test of a site that runs: photos sent as anybody would, and what comes of them.

    SMOKE_API_KEY=img_live_… python -m imagen_site.smoke https://imagen.example.com

It needs a key of an account that nobody else uses, with credits for one small photo by each operation. A release runs
it twice (.ci/cloud/smoke); it works as well on `make run`. No setting of the site is read.
"""
