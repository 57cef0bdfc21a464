"""Equations as MathML, by docutils' own converter: no script, no font, no network."""

from docutils.utils.math import latex2mathml
from sphinx.util.math import get_node_equation_number


def visit_inline(writer, node):
    """Write an equation within a line; see `setup`."""
    writer.body.append(latex2mathml.tex2mathml(node.astext(), as_block=False))
    raise_skip()


def visit_block(writer, node):
    """Write an equation in a line of its own, with its number if it has one."""
    text = node.astext()
    # Lines of an equation are aligned where they say so.
    if r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    writer.body.append(writer.starttag(node, "div", CLASS="math-block"))
    writer.body.append(latex2mathml.tex2mathml(text, as_block=True))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})</span>')
    writer.body.append("</div>\n")
    raise_skip()


def raise_skip():
    """Leave an equation's node, which is written already."""
    from docutils import nodes

    raise nodes.SkipNode


def setup(app):
    """Register the converter.

    Parameters
    ----------
    app : sphinx.application.Sphinx
        The site in the making.

    Returns
    -------
    about : dict
        What Sphinx asks of extensions.
    """
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
