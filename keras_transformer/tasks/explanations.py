"""What `Translator.explain` returns, which notebooks show as HTML."""

import html
import math

# Of a token that is all but certain, and of one as improbable as 1 %.
_CERTAIN, _UNSURE = 120, 0
_LEAST = math.log(0.01)


class Explanation(dict):
    """A translation and why it came out: a dict that notebooks show as HTML.

    Each token stands on a colour, from green (certain) to red (improbable). Where the
    mouse rests on one, it tells the token's probability and the source token that it
    attended to most. A table below has the same.
    """

    def _repr_html_(self):
        sources = list(self["source_tokens"])
        rows = [
            (token, float(log_prob), sources[source])
            for token, log_prob, source in zip(
                self["tokens"], self["log_probs"], self["aligned_source"]
            )
        ]
        source = " ".join(html.escape(token) for token in sources)
        cut = " (cut off)" if self["truncated"] else ""
        return (
            "<div>"
            f"<p><b>{html.escape(self['translation'])}</b></p>"
            f"<p>{''.join(map(_token, rows))}</p>"
            f"<p><small>source{cut}: {source}</small></p>"
            f"{_table(rows)}"
            "</div>"
        )


class Explanations(list):
    """A list of `Explanation`, which notebooks show one below the other."""

    def _repr_html_(self):
        return "<hr>".join(each._repr_html_() for each in self)


def _token(row):
    token, log_prob, source = row
    title = html.escape(
        f"{math.exp(log_prob):.1%} after those before it; from {source}"
    )
    return (
        f'<span title="{title}" style="background: {_colour(log_prob)}; '
        'color: black; padding: 1px 3px; margin: 1px; display: inline-block">'
        f"{html.escape(token)}</span>"
    )


def _table(rows):
    lines = "".join(
        f"<tr><td>{html.escape(token)}</td>"
        f'<td style="background: {_colour(log_prob)}; color: black">{log_prob:.4f}</td>'
        f"<td>{html.escape(source)}</td></tr>"
        for token, log_prob, source in rows
    )
    head = "<tr><th>token</th><th>log-probability</th><th>from the source's</th></tr>"
    return f"<details><summary>table</summary><table>{head}{lines}</table></details>"


def _colour(log_prob):
    """A colour of CSS: the hue falls with the log-probability."""
    share = min(max(log_prob / _LEAST, 0.0), 1.0) if log_prob == log_prob else 1.0
    hue = _CERTAIN + (_UNSURE - _CERTAIN) * share
    return f"hsl({hue:.0f}, 80%, 80%)"
