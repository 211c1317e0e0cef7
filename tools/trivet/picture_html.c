// SPDX-License-Identifier: Apache-2.0
//
// Writes a laid-out picture as one HTML page: inline SVG that can be read without scripts, and a
// small script for moving, zooming, searching and showing details. Nothing is loaded from anywhere.
#include <string.h>

#include "core/base/status.h"
#include "tools/trivet/picture.h"

static const char kStyle[] =
    "body{margin:0;font:13px system-ui,sans-serif;display:flex;height:100vh;color:#222}\n"
    "#stage{flex:1;overflow:hidden;background:#fafafa;cursor:grab}\n"
    "#side{width:26em;overflow:auto;border-left:1px solid #ccc;padding:1em;box-sizing:border-box}\n"
    "svg{width:100%;height:100%;display:block}\n"
    "svg text{font:12px ui-monospace,monospace;text-anchor:middle;pointer-events:none}\n"
    "svg .sub{font-size:10px;fill:#555}\n"
    ".node rect{stroke:#667;cursor:pointer}\n"
    ".node.on rect{stroke:#d00;stroke-width:3}\n"
    ".node.hit rect{stroke:#06c;stroke-width:3}\n"
    ".edge{fill:none;stroke:#99a;stroke-width:1.2}\n"
    ".edge.on{stroke:#d00;stroke-width:2}\n"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
    "padding:2px 6px;border-bottom:1px solid #eee;word-break:break-word}\n"
    "h1{font-size:1.2em;margin:0 0 .5em}h2{font-size:1.05em;margin:.2em 0 .5em}\n"
    "input{width:100%;box-sizing:border-box;margin:.6em 0;padding:.3em}\n"
    "code{font:12px ui-monospace,monospace}\n";

static const char kScript[] =
    "(function(){var s=document.querySelector('svg'),v=s.getAttribute('viewBox').split(' ')"
    ".map(Number),on=null;\n"
    "function view(){s.setAttribute('viewBox',v.join(' '));}\n"
    "function at(e){var r=s.getBoundingClientRect(),k=Math.max(v[2]/r.width,v[3]/r.height);\n"
    " return{k:k,x:v[0]+v[2]/2+(e.clientX-r.left-r.width/2)*k,"
    "y:v[1]+v[3]/2+(e.clientY-r.top-r.height/2)*k};}\n"
    "s.addEventListener('wheel',function(e){e.preventDefault();var p=at(e),"
    "f=Math.exp(e.deltaY*0.0015);\n"
    " v[0]=p.x-(p.x-v[0])*f;v[1]=p.y-(p.y-v[1])*f;v[2]*=f;v[3]*=f;view();},{passive:false});\n"
    "var drag=null;\n"
    "s.addEventListener('pointerdown',function(e){drag={x:e.clientX,y:e.clientY,moved:0};});\n"
    "window.addEventListener('pointermove',function(e){if(!drag)return;var k=at(e).k,"
    "dx=e.clientX-drag.x,dy=e.clientY-drag.y;\n"
    " drag.moved+=Math.abs(dx)+Math.abs(dy);v[0]-=dx*k;v[1]-=dy*k;drag.x=e.clientX;"
    "drag.y=e.clientY;view();});\n"
    "window.addEventListener('pointerup',function(){setTimeout(function(){drag=null;},0);});\n"
    "function show(id){document.querySelectorAll('.on').forEach(function(x){"
    "x.classList.remove('on');});\n"
    " document.querySelectorAll('.detail').forEach(function(x){x.hidden=x.id!=='d'+id;});\n"
    " var n=document.getElementById('n'+id);if(!n)return;n.classList.add('on');\n"
    " document.querySelectorAll('[data-from=\"'+id+'\"],[data-to=\"'+id+'\"]').forEach("
    "function(x){x.classList.add('on');});}\n"
    "s.addEventListener('click',function(e){if(drag&&drag.moved>4)return;"
    "var g=e.target.closest('.node');if(g)show(g.id.slice(1));});\n"
    "document.getElementById('find').addEventListener('input',function(e){"
    "var q=e.target.value.toLowerCase(),first=null;\n"
    " document.querySelectorAll('.node').forEach(function(n){var hit=q!==''&&"
    "(n.textContent+document.getElementById('d'+n.id.slice(1)).textContent).toLowerCase()"
    ".indexOf(q)>=0;\n"
    "  n.classList.toggle('hit',hit);if(hit&&!first)first=n;});\n"
    " if(first){var b=first.getBBox();v[0]=b.x+b.width/2-v[2]/2;v[1]=b.y+b.height/2-v[3]/2;"
    "view();}});\n"
    "})();\n";

static const char* const kColours[] = {"#dbe9f9", "#dff3df", "#fdeccf", "#f6dcef", "#e4e0f7",
                                       "#d9f1f0", "#f9e0dc", "#eef1cf", "#e6e6e6", "#fff6bf"};

static void text(tvi_string_builder_t* out, const picture_node_t* node, double dy, bool sub,
                 trivet_string_view_t words) {
  tvi_string_builder_appendf(out, "<text%s x=\"%.1f\" y=\"%.1f\">", sub ? " class=\"sub\"" : "",
                             node->x + node->width / 2, node->y + dy);
  tvi_string_builder_append_html(out, words);
  tvi_string_builder_append_cstr(out, "</text>");
}

static void write_node(tvi_string_builder_t* out, const picture_node_t* node, size_t index) {
  size_t colours = sizeof(kColours) / sizeof(kColours[0]);
  const char* fill = node->shape == PICTURE_NODE ? kColours[node->family % colours] : "#ffffff";
  tvi_string_builder_appendf(out, "<g class=\"node\" id=\"n%zu\"><title>", index);
  tvi_string_builder_append_html(out, node->title);
  tvi_string_builder_append_cstr(out, "</title>");
  tvi_string_builder_appendf(
      out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%d\" fill=\"%s\"/>",
      node->x, node->y, node->width, node->height, node->shape == PICTURE_NODE ? 4 : 18, fill);
  if (node->share > 0) {  // a bar at the bottom, as long as the share
    tvi_string_builder_appendf(out,
                               "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"4\" "
                               "fill=\"#d33\" stroke=\"none\"/>",
                               node->x, node->y + node->height - 4, node->width * node->share);
  }
  text(out, node, node->subtitle.size ? 16 : 24, false, node->title);
  if (node->subtitle.size) text(out, node, 30, true, node->subtitle);
  tvi_string_builder_append_cstr(out, "</g>\n");
}

// Straight down through the row of a bend, curved between rows.
static void write_edge(tvi_string_builder_t* out, const picture_t* p, const picture_edge_t* edge) {
  const picture_node_t *from = &p->nodes.data[edge->from], *to = &p->nodes.data[edge->to];
  double x = from->x + from->width / 2, y = from->y + from->height;
  tvi_string_builder_appendf(out,
                             "<path class=\"edge\" data-from=\"%u\" data-to=\"%u\" d=\"M%.1f %.1f",
                             edge->from, edge->to, x, y);
  for (uint32_t b = 0; b <= edge->bend_count; ++b) {
    bool last = b == edge->bend_count;
    const picture_point_t* bend = last ? NULL : &p->bends.data[edge->first_bend + b];
    double nx = last ? to->x + to->width / 2 : bend->x, ny = last ? to->y : bend->y;
    double half = (ny - y) / 2;
    tvi_string_builder_appendf(out, " C%.1f %.1f %.1f %.1f %.1f %.1f", x, y + half, nx, ny - half,
                               nx, ny);
    x = nx;
    y = ny;
    if (!last) {
      y += from->height;
      tvi_string_builder_appendf(out, " L%.1f %.1f", x, y);
    }
  }
  tvi_string_builder_append_cstr(out, "\"><title>");
  tvi_string_builder_append_html(out, edge->label);
  tvi_string_builder_append_cstr(out, "</title></path>\n");
}

trivet_status_t picture_write_html(const picture_t* picture, trivet_sink_t sink) {
  tvi_string_builder_t page;
  tvi_string_builder_t* out = &page;
  tvi_string_builder_init(out, trivet_allocator_system());
  tvi_string_builder_append_cstr(
      out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
  tvi_string_builder_append_html(out, picture->title);
  tvi_string_builder_append_cstr(out, "</title>\n<style>\n");
  tvi_string_builder_append_cstr(out, kStyle);
  tvi_string_builder_append_cstr(out, "</style></head>\n<body><div id=\"stage\">\n");
  tvi_string_builder_appendf(out,
                             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.1f %.1f\" "
                             "preserveAspectRatio=\"xMidYMid meet\">\n",
                             picture->width, picture->height);
  for (size_t e = 0; e < picture->edges.count; ++e) {
    write_edge(out, picture, &picture->edges.data[e]);
  }
  for (size_t n = 0; n < picture->nodes.count; ++n) write_node(out, &picture->nodes.data[n], n);
  tvi_string_builder_append_cstr(out, "</svg></div>\n<div id=\"side\"><h1>");
  tvi_string_builder_append_html(out, picture->title);
  tvi_string_builder_append_cstr(out, "</h1>\n");
  tvi_string_builder_append(out, picture->summary);
  tvi_string_builder_append_cstr(
      out, "<input id=\"find\" placeholder=\"find a node\" aria-label=\"find a node\">\n");
  for (size_t n = 0; n < picture->nodes.count; ++n) {
    const picture_node_t* node = &picture->nodes.data[n];
    tvi_string_builder_appendf(out, "<div class=\"detail\" id=\"d%zu\" hidden><h2>", n);
    tvi_string_builder_append_html(out, node->title);
    tvi_string_builder_append_cstr(out, "</h2>\n");
    tvi_string_builder_append(out, node->details);
    tvi_string_builder_append_cstr(out, "</div>\n");
  }
  tvi_string_builder_append_cstr(out, "</div>\n<script>\n");
  tvi_string_builder_append_cstr(out, kScript);
  tvi_string_builder_append_cstr(out, "</script></body></html>\n");
  trivet_status_t status = tvi_string_builder_status(out);
  trivet_string_view_t all = tvi_string_builder_view(out);
  if (!status) status = sink.write(sink.self, all.data, all.size);
  tvi_string_builder_deinit(out);
  return status;
}
