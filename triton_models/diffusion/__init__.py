"""What the diffusion engines share: working sizes, wording, loading, shared denoising runs, and the way back."""
