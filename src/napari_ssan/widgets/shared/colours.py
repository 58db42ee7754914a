"""What colours stand for in the viewer: in the strip, in the caption, and around marks.

A tick is thin and needs a bright colour; behind white text it has to be dark. So most things
have two shades, and what is the same in both has a name.
"""

MARKED = "#ffb000"
SUGGESTED = "#4f9dff"

#: Ticks of the strip, by what is at a slice. They read on dark and light themes alike.
TICKS = {
    "suggested": SUGGESTED,
    "marked": MARKED,
    "synthesized": "#e05fb4",
    "accepted": "#3aa757",
    "reverted": "#8a8f98",
    "synthetic": "#9a2f74",
}
#: What a user calls the ticks, in the same order.
LEGEND = {
    "blue": "suggested",
    "yellow": "marked",
    "pink": "repaired, not accepted yet",
    "green": "accepted",
    "grey": "reverted",
    "purple": "synthetic in the file already",
}
#: Box and text of the caption, by kind of slice.
CAPTIONS = {
    "marked": (MARKED, "#000000"),
    "synthetic": ("#b8007f", "#ffffff"),
    "copied": ("#1a5fb4", "#ffffff"),
    "corrected": ("#007a94", "#ffffff"),
    "accepted": ("#0a6640", "#ffffff"),
    "original": ("#3d3d3d", "#ffffff"),
}
