"""Log-mel features, and how they are laid on video frames.

Definition (the Swift node computes the same):
- samples mono f32 at 16 000 Hz; mel frame i is centred at sample 320·i (20 ms apart); zeros outside the signal; frames 0 … floor(n/320).
- window: 400 samples, periodic Hann 0.5 − 0.5·cos(2πk/400), over samples 320·i − 200 … 320·i + 199, zero-padded at the end to 512; rFFT.
- power |X|², 257 bins; 80 triangular filters between 0 and 8 000 Hz, corners equally spaced on the HTK mel scale
  2595·log10(1 + f/700), peak 1, not area-normalised, evaluated at the bin frequencies k·31.25 Hz.
- value = (ln(max(power, 1e-5)) + 4) / 4.
- video frame at τ seconds (in the audio's own time): centre c = floor(50·τ + 0.5); mel frames c − W/2 … c + W/2 − 1, oldest
  first, each 80 values; frames outside the signal have the floor's value (ln 1e-5 + 4)/4.
"""
import numpy as np

RATE, HOP, WINDOW, FFT, MELS, FLOOR = 16000, 320, 400, 512, 80, 1e-5
SILENCE = (np.log(FLOOR) + 4) / 4


def mel_filters():
    """[80, 257] f64"""
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    corners = 700 * (10 ** (np.linspace(mel(0), mel(RATE / 2), MELS + 2) / 2595) - 1)
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    lower, peak, upper = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(0, np.minimum((bins - lower) / (peak - lower), (upper - bins) / (upper - peak)))


def log_mel(samples):
    """samples [n] f32 at 16 kHz → [1 + n // 320, 80] f32"""
    n = 1 + len(samples) // HOP
    padded = np.concatenate([np.zeros(WINDOW // 2), np.asarray(samples, np.float64), np.zeros(WINDOW)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.stack([padded[i * HOP:i * HOP + WINDOW] for i in range(n)]) * window
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2
    return ((np.log(np.maximum(power @ mel_filters().T, FLOOR)) + 4) / 4).astype(np.float32)


def on_frames(mel, times, window):
    """mel [n, 80], times [F] seconds → [F, window·80] f32"""
    start = np.floor(np.asarray(times) * RATE / HOP + 0.5).astype(int) - window // 2
    index = start[:, None] + np.arange(window)
    inside = (index >= 0) & (index < len(mel))
    out = np.where(inside[..., None], mel[np.clip(index, 0, len(mel) - 1)], np.float32(SILENCE))
    return out.reshape(len(times), -1).astype(np.float32)
