"""What the plugin adds to the page of a study in Orthanc's explorer: a button, and the state."""

EXPLORER = """
$('#study').live('pagebeforecreate', function() {
  var button = $('<a>').attr({'data-role': 'button', 'href': '#', 'data-icon': 'search',
    'data-theme': 'e', 'id': 'mammoclip-analyse'}).text('Analyse mammograms');
  var list = $('#study-delete').parent().parent();
  button.insertBefore(list);
  $('<p>').attr('id', 'mammoclip-state').insertBefore(list);
  button.click(function() {
    if ($.mobile.pageData) {
      $.ajax({type: 'POST', url: '../mammoclip/studies/' + $.mobile.pageData.uuid + '/analyse',
        data: '{}', complete: mammoclipState,
        success: function(answer) { alert(answer.message); },
        error: function(answer) { alert(answer.responseText || 'Not possible.'); }});
    }
    return false;
  });
});
$('#study').live('pageshow', function() { $('#mammoclip-state').text(''); mammoclipState(); });
setInterval(mammoclipState, 5000);

function mammoclipState() {
  var study = $.mobile.pageData && $.mobile.pageData.uuid;
  if (!study || !$.mobile.activePage || $.mobile.activePage.attr('id') != 'study') { return; }
  $.ajax({url: '../studies/' + study + '/metadata?expand', dataType: 'json', cache: false,
    success: function(held) {
      if (study != $.mobile.pageData.uuid) { return; }
      var result = {};
      try { result = JSON.parse(held['4202'] || '{}'); } catch (error) { }
      var parts = [held['4201'], result.outcome].concat(result.remarks || []);
      $('#mammoclip-state').text($.grep(parts, Boolean).join('; '));
    }});
}
"""
